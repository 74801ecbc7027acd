"""What is done with files wherever they are: locks, whole writes, identities, sweeps."""
