"""The virtual machine of a sandbox: planned, booted or restored, and running."""
