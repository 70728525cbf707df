"""Records studies in MLflow: a spool in the study's folder, and a process of its own that delivers it."""
