"""Synthetic tissue with genes, written in the real file forms, and the chain that runs on it."""
