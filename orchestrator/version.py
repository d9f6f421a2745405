"""This program's version, as reports and run files name it."""

__version__ = "0.1.0"
