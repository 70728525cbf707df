"""Knobs that families share, light to import, and the questions by which search spaces ask for them."""
