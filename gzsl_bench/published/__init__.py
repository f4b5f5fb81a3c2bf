"""Numbers from the literature: what was printed, under which conditions, and what is wrong."""
