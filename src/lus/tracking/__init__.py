"""MLflow as this project uses it: where runs are kept, what they are tagged with."""
