"""The classifier: a clip -> an answer, with its metadata, its compiled form and its explanation."""
