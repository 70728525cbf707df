"""The search: Optuna proposes and prunes trials, its storage is the single source of truth, Ray Tune executes."""
