"""Patch-level probes of feature sources."""
