"""Splits: the folds of a cohort, and the protocols that make them."""
