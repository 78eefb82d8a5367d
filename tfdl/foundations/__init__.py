"""The mathematics from scratch, in NumPy, because seeing it is the point."""
