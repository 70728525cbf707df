"""A study on disk or in a database: storage, records, samplers, early stopping and warm start."""
