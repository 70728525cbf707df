"""The chain: a classifier of images that learns from scans, in stages."""
