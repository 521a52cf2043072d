"""Tensors: the runtime that records operators and calls compiled kernels."""
