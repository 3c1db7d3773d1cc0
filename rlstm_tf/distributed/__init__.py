"""Devices and workers: strategies, TF_CONFIG, consistency checks."""
