"""Readers of public data sets, which write GeoTIFF pairs."""
