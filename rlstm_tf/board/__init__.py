"""What TensorBoard shows of a run, beside checkpoints and `history.csv`: docs/tensorboard.md."""
