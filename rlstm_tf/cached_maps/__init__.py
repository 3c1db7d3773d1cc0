"""Maps of a frozen trunk, computed once and trained from."""
