"""Data handling that families share: memory-mapped stores, windows, normalisation, daily HDF5."""
