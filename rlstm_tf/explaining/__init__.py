"""What a trained network's Relational LSTM looks at, as a page and as an animation."""
