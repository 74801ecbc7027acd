"""Templates of others: fetched, looked at, rendered in a process that can't leave its directory."""
