"""The training engine: the exact step beneath Keras's `fit`, and the run around it."""
