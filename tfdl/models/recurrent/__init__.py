"""Recurrent networks: sequences read one token after another."""
