"""Where training runs: one device, several devices, TPU."""
