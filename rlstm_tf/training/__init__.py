"""The training loop: steps, state, callbacks, validation."""
