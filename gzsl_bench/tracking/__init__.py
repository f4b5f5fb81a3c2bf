"""MLflow: a mirror of the records, rebuilt from them at any time."""
