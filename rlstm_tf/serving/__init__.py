"""Exported networks: signatures, warm-up requests, numbered versions, and predictions from them."""
