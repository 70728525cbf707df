"""Trials, studies and options of a parameter side by side: what differs, and whether their numbers may be compared."""
