"""Pure functions of tensors: no weight, no randomness, no state."""
