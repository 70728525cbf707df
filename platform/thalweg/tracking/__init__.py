"""Records studies in MLflow: a spool in the study's folder, and a separate process that delivers it."""
