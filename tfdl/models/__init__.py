"""Networks: one file for each paper or family, with a builder function or a class of the same name."""
