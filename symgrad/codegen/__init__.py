"""Code generation: a Graph becomes loop nests and then readable Python source, or LLVM IR."""
