"""Kernel primitives: the elementary and special functions that kernels call."""
