"""What a usable clip and a sound cohort are held to."""
