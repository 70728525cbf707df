"""Writes families and search spaces for a user to begin with: small, whole, and in a package of their own."""
