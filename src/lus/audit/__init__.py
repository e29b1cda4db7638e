"""Audit: what can have made the number of an evaluation, or of a published table, better than it is."""
