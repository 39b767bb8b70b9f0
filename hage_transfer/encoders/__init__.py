"""Frozen encoders: patches in, features out."""
