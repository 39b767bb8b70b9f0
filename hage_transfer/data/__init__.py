"""Data sets, gene panels, normalisation, splits and the feature file."""
