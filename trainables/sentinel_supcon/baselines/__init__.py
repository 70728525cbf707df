"""Baselines: the shares of the classes, and a linear model of band statistics, of each sensor and of both."""
