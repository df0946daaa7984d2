"""Attacks on the way a caller takes in: tokens, replays, timing, injections, budgets. On real servers."""
