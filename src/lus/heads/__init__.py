"""Heads: the sequence classifiers on top of a feature set, their training, and the same in NumPy."""
