"""One brain: Optuna proposes and stops, its storage is the truth, Ray Tune executes."""
