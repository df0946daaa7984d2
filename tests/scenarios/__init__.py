"""Stories of an installation under stress, one a file, told on real processes."""
