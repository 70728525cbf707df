"""The search: Optuna proposes, prunes and stores the trials of a study, Ray Tune executes them."""
