"""A recipe's run from its flags to its summary: where data, training, export and reports meet."""
