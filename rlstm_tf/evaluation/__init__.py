"""Scores of whole sets of videos: computing, metrics, files, late fusion."""
