"""Figures, each a function from arrays and tables to a matplotlib Figure."""
