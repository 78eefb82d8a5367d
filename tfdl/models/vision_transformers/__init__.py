"""Vision transformers: attention over patches of an image, one file per paper."""
