"""Population-based training: members, who continues whom, which values change, and whose turn it is."""
