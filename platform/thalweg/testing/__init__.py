"""Checks that every family must pass, for use in its own tests; each raises a `thalweg.errors.ThalwegError`."""
