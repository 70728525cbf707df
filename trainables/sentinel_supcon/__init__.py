"""Supervised contrastive learning of land cover and facilities from Sentinel-1 and Sentinel-2 together."""
