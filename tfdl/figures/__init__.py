"""Arrays in, matplotlib figures out: what recipes show in TensorBoard and save as PNG files."""
