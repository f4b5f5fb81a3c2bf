"""Data sets as files and as arrays: reading, checking, identity, cache, download."""
