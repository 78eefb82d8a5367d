"""Weights as they lie in files and on servers: name -> array, whatever the names mean."""
