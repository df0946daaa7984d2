"""Orders, and the state they fold into."""
