"""Verdicts of confirmations on the terminal."""
