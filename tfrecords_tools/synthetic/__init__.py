"""Draws the synthetic data sets and writes them in public layouts."""
