"""Tuning: search spaces as trials on validation folds, their numbers, and the suite chosen."""
