"""What every cell leaves on disk: the one authority on what has run."""
