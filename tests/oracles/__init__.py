"""Second readings of the rules, written apart from the product, to be compared with it."""
