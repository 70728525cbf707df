"""Reads a data set: layouts of files, splits, the prepared store, augmented batches."""
