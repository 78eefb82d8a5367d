"""Building blocks: a layer where there are weights or randomness, a function where layers are only composed."""
