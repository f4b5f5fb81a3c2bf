"""Measurements of speed: ``python -m benchmarks`` prints them and saves JSON and a plot."""
