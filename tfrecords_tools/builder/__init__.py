"""Builds shards from videos."""
