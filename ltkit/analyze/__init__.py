"""Measures on trained networks."""
