"""symgrad: a formula in, fused machine code for its value and exact derivatives out."""
