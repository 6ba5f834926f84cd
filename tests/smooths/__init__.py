"""Tests of smooths and of rows in several levels at once."""
