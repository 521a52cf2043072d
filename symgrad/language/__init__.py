"""The language: formulas as text or SymPy objects become Programs; the function table."""
