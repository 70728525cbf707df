"""Classifier of cubes and spheres that fuses a camera image with a LiDAR scan."""
