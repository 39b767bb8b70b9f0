"""Slide-level multiple instance learning over feature sources."""
