"""Speed compared with peers and limits; run by hand: `python -m benchmarks.<name>`."""
