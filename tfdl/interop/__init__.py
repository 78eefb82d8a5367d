"""Weights of other libraries, in and out: small tables of names, one file a layout; published weights by name."""
