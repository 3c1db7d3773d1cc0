"""Speed beside that of peers and limits; run by hand: `python -m benchmarks.<name>`."""
