"""Classical analysis of variance with error strata."""
