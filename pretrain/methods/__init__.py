"""The compared systems: each the feature-level form of a published head, on the same features, folds and metrics."""
