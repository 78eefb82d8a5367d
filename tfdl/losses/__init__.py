"""What training makes small: pure functions of targets and outputs, and the `keras.losses.Loss` that call them."""
