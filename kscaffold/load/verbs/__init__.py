"""The verbs whole: from what was asked for to a report."""
