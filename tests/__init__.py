"""Every test of the product, and what they share."""
