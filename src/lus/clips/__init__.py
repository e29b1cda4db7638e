"""Clips: files, DICOM and folders -> frames, and the tables of them."""
