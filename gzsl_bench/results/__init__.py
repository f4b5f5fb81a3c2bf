"""What is known of a suite: its records, read once, and the numbers that rules choose of them."""
