"""What a run in MLflow shows as metrics, and the table that holds all of them."""
