"""Reports: the paper's tables and figures from evaluations, as files and as one page.

`benchmark` does the same for the relational benchmark.
"""
