"""One module per plot: plain data in, a matplotlib figure and the rows of its CSV file out."""
