"""The report of a suite: one self-contained page, made from its records alone."""
