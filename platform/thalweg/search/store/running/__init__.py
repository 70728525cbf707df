"""Trials that run: what the ledger knows of them beside their records."""
