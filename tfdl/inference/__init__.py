"""Answers of trained models: pictures in, tables, JSON and drawings out."""
