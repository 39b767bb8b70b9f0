"""Feature files of other tools: CLAM's and TRIDENT's folders and plain tensors, read and written.

``open_features`` reads any of them by what is in the file; ``find_feature_files`` finds the slides of a folder of
theirs; ``write_layout`` writes any of them. Rows stay on disk and pass in blocks. The forms are documented in
docs/file-formats.md.
"""

from hage_transfer.data.feature_layouts.folders import find_feature_files
from hage_transfer.data.feature_layouts.opened import FeatureSource, open_features, source_of
from hage_transfer.data.feature_layouts.recorded import OPTIONS, UNKNOWN, Given, unknown_facts
from hage_transfer.data.feature_layouts.write import LAYOUTS, TridentGrid, layout_paths, write_layout

__all__ = [
    "LAYOUTS",
    "OPTIONS",
    "UNKNOWN",
    "FeatureSource",
    "Given",
    "TridentGrid",
    "find_feature_files",
    "layout_paths",
    "open_features",
    "source_of",
    "unknown_facts",
    "write_layout",
]
