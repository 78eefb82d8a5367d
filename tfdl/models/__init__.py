"""Networks, one file per paper or family; a builder or a class, found by its name."""
