"""Signatures of modules: the key, and the work of the kernel's scripts/sign-file."""
