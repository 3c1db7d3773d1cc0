"""Scores of videos: scorer, metrics, score files, fusion."""
