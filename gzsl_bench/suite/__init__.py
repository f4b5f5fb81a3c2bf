"""From a YAML file to a checked suite, its cells and their keys."""
