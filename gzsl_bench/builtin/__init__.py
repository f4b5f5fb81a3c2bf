"""Built-in data sets and metrics, registered through the hooks third parties use."""
