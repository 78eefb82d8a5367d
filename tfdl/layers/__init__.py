"""Blocks: layers where there is a weight or randomness, functions where layers are only composed."""
