"""Submissions to a results repository: put on a branch, and checked against data and plugins."""
