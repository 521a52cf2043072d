"""Derivatives: local rules out of SymPy, reverse and forward sweeps over a Graph."""
