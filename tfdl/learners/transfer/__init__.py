"""Learners that start from a trained network: low-rank adapters, and students of a teacher."""
