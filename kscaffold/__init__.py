"""Scaffold, build, check, load and explain Linux kernel modules."""

__version__ = "0.1.0"
