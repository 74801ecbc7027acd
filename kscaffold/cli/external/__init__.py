"""The dialogue about templates of others: their report, trust, questions."""
