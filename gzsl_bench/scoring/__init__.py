"""From a scorer to predictions and metrics; statistics over seeds."""
