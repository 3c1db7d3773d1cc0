"""Evaluations -> the paper's tables and figures, as files for a paper and as one page.

In `benchmark` the same of the relational benchmark.
"""
