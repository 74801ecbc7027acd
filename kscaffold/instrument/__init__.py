"""Copies of a module that find bugs, on the kernel that is there: sanitizers."""
