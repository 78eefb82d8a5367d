"""Learners from inputs with answers."""
