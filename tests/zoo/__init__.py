"""Modules with something wrong with them, and what must be found."""
