"""Reads a data set: layout and checks of the files, the prepared store, windows of days."""
