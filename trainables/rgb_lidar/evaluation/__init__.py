"""Measures and baselines."""
