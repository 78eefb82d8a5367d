"""Pure functions of tensors: no weights, no randomness, no state."""
