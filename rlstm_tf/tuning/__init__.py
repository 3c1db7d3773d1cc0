"""Search for settings: what is varied, the trials, and their processes."""
