"""Checks shards, and repairs them."""
