"""Metrics of predicted expression (``genes``) and of classifiers (``classification``)."""
