"""From a trained Keras model to checked files: SavedModel and TFLite, with parity, checksums, metadata and a card."""
