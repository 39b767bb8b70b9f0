"""What the door's functions are given: paths, configs in any form, tables."""

import os

PathLike = str | os.PathLike[str]
"""A path, or an object of this library that has a folder or a file: its own path is meant."""
