"""Synthetic data sets in the layouts of METER-ML and DFC2020."""
