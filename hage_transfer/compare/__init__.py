"""Comparing sources: results, records, folds, metrics, differences, intervals, verdicts."""
