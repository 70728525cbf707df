"""Fusion: a classifier of image and scan together, trained in one stage."""
