"""Models that are kept: what of a study goes into MLflow's registry."""
