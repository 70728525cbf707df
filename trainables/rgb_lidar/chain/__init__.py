"""A classifier of images learns from scans, in stages."""
