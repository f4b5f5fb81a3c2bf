"""The version of the program, for all that must not import the package's own names."""

__version__ = "0.1.0"
