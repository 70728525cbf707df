"""Thalweg: distributed hyperparameter search for multimodal geoscience models."""
