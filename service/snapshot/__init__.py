"""Snapshots: built, signed, verified, activated, read."""
