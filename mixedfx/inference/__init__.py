"""Tests, degrees of freedom and intervals: take a fit, return numbers and tables."""
