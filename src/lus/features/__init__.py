"""Backbones: the CNNs without their tops, their weights and engines; frames -> feature sets."""
