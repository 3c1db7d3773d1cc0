"""Trained networks -> what a server loads: signatures, warm-up requests, numbered versions."""
