"""Verdicts: what repeated runs of a few configurations say about which is better."""
