"""Which folders of the disk hold what can be computed again."""
