"""What was answered, to whom: written before it leaves, provable afterwards."""
