"""Networks that read points in space."""
