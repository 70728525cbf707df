"""The durable truth of a study: Optuna's storage, the records in it, who proposes and who stops."""
