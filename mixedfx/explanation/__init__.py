"""A fitted model for the reader: tidy tables, models side by side, equations, words, other programs' code."""
