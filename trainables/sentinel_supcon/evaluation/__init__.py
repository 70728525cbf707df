"""Measures of classifiers of scenes, and the protocol that they are compared under."""
