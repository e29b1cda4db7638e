"""Lung-ultrasound video classification: from raw clips to a served answer that can be traced."""
