"""TensorBoard summaries of a run."""
