"""The runtime: kernels, the arrays that they accept, and the disk cache."""
