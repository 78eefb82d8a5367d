"""The training engine: the train step used by Keras's `fit`, callbacks, checkpoints and reports."""
