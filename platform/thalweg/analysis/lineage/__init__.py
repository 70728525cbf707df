"""The lineage of populations: schedules of values over training, and their picture."""
