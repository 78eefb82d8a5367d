"""What a trained classifier looks at: its filters and maps, and where in an image it found the class."""
