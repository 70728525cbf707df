"""The durable truth of a study: Optuna's storage, what is recorded of trials, who proposes and who stops."""
