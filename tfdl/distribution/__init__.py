"""Where training runs: one device, several devices or machines, a TPU."""
