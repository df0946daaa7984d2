"""The sentinel at work: marks made in every worker, judged in one, and what it decides ordered."""
