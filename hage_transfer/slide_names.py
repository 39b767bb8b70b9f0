"""What a slide is called: its file's name, without folder and ending, in tables, splits and feature files alike."""

SLIDE_ENDINGS = frozenset(
    {".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".scn", ".svslide", ".bif", ".vms", ".vmu", ".dcm", ".czi"}
)
IMAGE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp"})


def slide_name(name: str) -> str:
    """The name by which a table's cell is known: ``p1/a.svs`` is ``a``, as its feature file is ``a.h5``.

    What follows a dot and is no ending of a slide or image belongs to the name (``TCGA-A1-A0SB-01Z-00-DX1.B34C267B``).
    """
    name = name.rpartition("/")[2]
    stem, dot, ending = name.rpartition(".")
    return stem if f"{dot}{ending.lower()}" in SLIDE_ENDINGS | IMAGE_ENDINGS else name
