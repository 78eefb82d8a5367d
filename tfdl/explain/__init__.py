"""What a trained classifier looks at (filters, feature maps, regions of an image), and how far gradients reach."""
