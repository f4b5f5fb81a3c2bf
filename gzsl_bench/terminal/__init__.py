"""What is said on a terminal, and how: streams, widths, and how far a training is."""
