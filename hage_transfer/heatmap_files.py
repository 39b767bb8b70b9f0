"""Names of what `hage heatmap` writes and others read: the report, the viewer, and a MIL run that is trained anew."""

HEATMAPS_FOLDER = "heatmaps"
"""In a MIL run; below it, a folder for each source."""
SLIDES_FILE, GENES_FILE = "slides.csv", "genes.csv"
"""Of a source: its slides, its genes over slides. A slide's own folder has a `genes.csv` too."""
TILES_FILE, H5AD_FILE = "tiles.csv", "tiles.h5ad"
"""Of a slide."""
