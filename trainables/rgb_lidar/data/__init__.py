"""Reads a data set: layout of the files, splits, the prepared store, batches."""
