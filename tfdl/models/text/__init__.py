"""Language models: transformers that read and write text, one family a file."""
