"""What a trained classifier looks at: its filters, its feature maps, and the parts of an image that decide."""
