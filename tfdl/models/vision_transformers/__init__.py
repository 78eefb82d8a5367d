"""Vision transformers: attention over patches of an image, one file for each paper."""
