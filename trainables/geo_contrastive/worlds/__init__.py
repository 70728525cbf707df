"""Synthetic weather."""
