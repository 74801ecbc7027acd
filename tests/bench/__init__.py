"""Speed and memory of kscaffold, measured. See __main__.py: `python -m tests.bench`."""
