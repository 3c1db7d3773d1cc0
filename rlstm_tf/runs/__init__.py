"""Runs on disk: directory, checkpoints and weights."""
