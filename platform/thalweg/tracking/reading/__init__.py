"""Reads runs of MLflow back."""
