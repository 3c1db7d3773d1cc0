"""Predictions for any number of videos, on one machine or many, that survive being stopped."""
