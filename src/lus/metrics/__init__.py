"""Metrics of a classifier with their intervals, baselines, calibration, comparisons; pure functions of arrays."""
