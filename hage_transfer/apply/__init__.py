"""Trained probes and bag classifiers on new patients: the classifier directory, its scores, and what they are worth."""
