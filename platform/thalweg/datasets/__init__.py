"""The data sets of all families: made, imported, listed, shown."""
