"""Trials, studies and options of a parameter side by side on the terminal."""
