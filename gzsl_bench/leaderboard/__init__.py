"""A static site of tables from any number of results: one per identity, none ranked across."""
