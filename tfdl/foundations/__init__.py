"""The mathematics of deep learning from scratch, in NumPy."""
