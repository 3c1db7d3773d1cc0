"""The search for settings: what is searched, the trials, their processes, and who draws them."""
