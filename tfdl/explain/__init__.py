"""What a trained classifier looks at: filters, feature maps, and the regions of an image that matter."""
