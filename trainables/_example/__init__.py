"""An example family, small enough to be read in one go; `thalweg new family NAME` writes a copy of it."""
