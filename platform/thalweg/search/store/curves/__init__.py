"""Bayesian optimization over learning curves: a Gaussian process of whole curves proposes trials, and stops them."""
