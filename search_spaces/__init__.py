"""What to try: one file is one study, one function ``space(trial) -> Config``."""
