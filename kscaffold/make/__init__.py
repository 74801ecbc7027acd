"""What make is asked for and what it says."""
