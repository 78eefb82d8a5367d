"""Real and synthetic data as batches that obey the contracts of `tfdl.core.batches`."""
