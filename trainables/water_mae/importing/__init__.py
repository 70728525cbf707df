"""Public data sets, read into the family's layout."""
