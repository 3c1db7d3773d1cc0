"""Verifies and repairs shards."""
