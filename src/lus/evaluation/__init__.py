"""Evaluation: the choice of feature set and head, cross-validation, and the metrics that are written of it."""
