"""The seasons that days are classified into."""

SEASONS = ("DJF", "MAM", "JJA", "SON")
"""In the order of their numbers in the data."""
