"""What a slide is called: its file's name, without folder and ending, in tables, splits and feature files alike."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

SLIDE_ENDINGS = frozenset(
    {".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".scn", ".svslide", ".bif", ".vms", ".vmu", ".dcm", ".czi"}
)
IMAGE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
FEATURE_ENDINGS = frozenset({".h5", ".hdf5", ".pt", ".pth", ".npy"})
_UUID = re.compile(r"\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
_BARCODE = re.compile(r"tcga-[a-z0-9]{2}-[a-z0-9]{4}")


def slide_name(name: str) -> str:
    r"""The name by which a table's cell is known: ``p1/a.svs`` is ``a``, as its feature file ``a.svs.h5`` is.

    What follows a dot and is no ending belongs to the name (``TCGA-A1-A0SB-01Z-00-DX1.B34C267B``).

    >>> slide_name("D:\\slides\\a.svs")
    'a'
    """
    name = re.split(r"[/\\]", name)[-1]
    stem, dot, ending = name.rpartition(".")
    if not stem or f"{dot}{ending.lower()}" not in SLIDE_ENDINGS | IMAGE_ENDINGS | FEATURE_ENDINGS:
        return name
    return slide_name(stem)


def tcga_patient(name: str) -> str:
    """The patient of TCGA's barcode at a name's beginning; "" where there is none.

    >>> tcga_patient("TCGA-3C-AALI-01Z-00-DX1.F6E9A5DF"), tcga_patient("a")
    ('tcga-3c-aali', '')
    """
    found = _BARCODE.match(_plain(name))
    return found[0] if found else ""


def match_names(wanted: Iterable[str], there: Sequence[str]) -> dict[str, str]:
    """Which name of ``there`` each wanted one means, for those of which there is one answer alone.

    The same name; else the same in other capitals, or with letters composed otherwise (macOS writes ä as a and two
    dots); else the same slide by a barcode with and without the uuid that
    TCGA puts behind it, or by as many fields of TCGA's barcode as one of the two has. No two names mean one.
    """
    known = set(there)
    wanted = list(wanted)
    exact = {name: name for name in wanted if name in known}
    alike: dict[str, list[str]] = {}
    for name in there:
        if name not in exact:
            alike.setdefault(_kin(name), []).append(name)
    left = [name for name in wanted if name not in exact]
    found = {name: [other for other in alike.get(_kin(name), ()) if _same(name, other)] for name in left}
    taken = Counter(others[0] for others in found.values() if len(others) == 1)
    alone = {name: others[0] for name, others in found.items() if len(others) == 1 and taken[others[0]] == 1}
    return exact | alone


def _kin(name: str) -> str:
    """What two names of one slide have in common: the patient of TCGA's barcode, else the name without a uuid."""
    return tcga_patient(name) or _UUID.sub("", _plain(name))


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())


def _same(one: str, other: str) -> bool:
    short, long = sorted((_plain(one), _plain(other)), key=len)
    if short == long or not long.startswith(short):
        return short == long
    rest = long[len(short) :]
    return _UUID.fullmatch(rest) is not None or (_BARCODE.match(short) is not None and rest[0] in ".-")
