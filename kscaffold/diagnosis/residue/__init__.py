"""What a module leaves behind in its kernel."""
