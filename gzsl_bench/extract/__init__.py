"""Images and texts -> features, region maps and class embeddings of a described data set."""
