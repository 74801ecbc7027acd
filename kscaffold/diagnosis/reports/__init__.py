"""Reports of sanitizers, as they stand in a kernel's log."""
