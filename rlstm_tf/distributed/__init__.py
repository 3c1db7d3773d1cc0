"""Devices and worker processes: strategies, TF_CONFIG, startup barrier, consistency checks."""
