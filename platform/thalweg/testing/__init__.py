"""Checks that every family must pass, for its own tests; each raises a `thalweg.errors.ThalwegError`."""
