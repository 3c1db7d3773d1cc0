"""Attention maps of the Relational LSTM, and the page that shows them."""
