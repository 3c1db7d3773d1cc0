"""Readers of data sets: split files in, a list of videos out."""
