"""The audit: does a method learn from what its scorers are shown?  See docs/audit.md."""
