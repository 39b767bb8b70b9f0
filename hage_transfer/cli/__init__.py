"""Commands of `hage`, one file each; the only place that prints."""
