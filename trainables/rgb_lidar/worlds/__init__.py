"""Synthetic data sets in the family's layout."""
