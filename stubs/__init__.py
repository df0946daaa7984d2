"""Stand-ins for the outside world; never product code."""
