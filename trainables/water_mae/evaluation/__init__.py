"""The fixed evaluation protocol and its metrics."""
