"""Tests of what is measured, not of how fast it is."""
