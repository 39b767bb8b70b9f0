"""Whole-slide images: reading, tissue, tiles."""
