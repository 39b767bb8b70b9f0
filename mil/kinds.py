"""Names that `model.kind` takes: those of this project, torchmil's, and those of a user's own classifiers."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from hage_transfer.extensions import installed

BUILT_IN = ("abmil", "clam_sb", "clam_mb", "mean", "max")
TORCHMIL_PREFIX, OWN_PREFIX = "torchmil:", "own:"
"""``own:<class>`` is a class that Python gave: a config may say so, but only Python can give it again."""


@dataclass(frozen=True)
class TorchmilModel:
    """How one of torchmil's models is used here.

    Attributes:
        head: its last layer, which gets a logit for every class; None: its loss has parts of its own that are made for
            one logit, so it is for two classes and keeps both.
        takes: what it wants besides features: the graph of neighbouring tiles, or their places on a grid.
        shows: its option that returns a number a tile.
        are_weights: whether those are weights of tiles already; else they are scores, whose softmax is the attention.
        is_ordered: whether the order of the tiles changes its output: by design, by draws made in that order, or
            (DeepGraphSurv in torchmil 1.0) since a view of its polynomials mixes tiles.
    """

    head: str | None = None
    takes: Literal["graph", "places"] | None = None
    shows: str = "return_att"
    are_weights: bool = False
    is_ordered: bool = False


TORCHMIL: Mapping[str, TorchmilModel] = MappingProxyType(
    {
        "ABMIL": TorchmilModel(head="classifier"),
        "CAMIL": TorchmilModel(head="classifier", takes="graph", is_ordered=True),
        "CLAM_SB": TorchmilModel(),
        "DSMIL": TorchmilModel(are_weights=True),
        "DTFDMIL": TorchmilModel(shows="return_inst_cam"),
        "DeepGraphSurv": TorchmilModel(head="classifier", takes="graph", is_ordered=True),
        "GTP": TorchmilModel(takes="graph", shows="return_cam", are_weights=True),
        "IIBMIL": TorchmilModel(shows="return_inst_pred"),
        "PatchGCN": TorchmilModel(head="classifier", takes="graph"),
        "ProbSmoothABMIL": TorchmilModel(takes="graph", is_ordered=True),
        "SETMIL": TorchmilModel(head="classifier", takes="places", are_weights=True),
        "SmABMIL": TorchmilModel(head="last_layer", takes="graph"),
        "SmTransformerABMIL": TorchmilModel(head="last_layer", takes="graph"),
        "SmoothABMIL": TorchmilModel(takes="graph"),
        "TransMIL": TorchmilModel(head="classifier", are_weights=True, is_ordered=True),
        "TransformerABMIL": TorchmilModel(head="last_layer"),
        "TransformerProbSmoothABMIL": TorchmilModel(takes="graph", is_ordered=True),
        "VAEABMIL": TorchmilModel(is_ordered=True),
    }
)


def torchmil_name(kind: str) -> str | None:
    """The name of a kind in torchmil, or None; ``transmil`` is the older name of ``torchmil:TransMIL``."""
    kind = f"{TORCHMIL_PREFIX}TransMIL" if kind == "transmil" else kind
    return kind.removeprefix(TORCHMIL_PREFIX) if kind.startswith(TORCHMIL_PREFIX) else None


def is_installed(kind: str) -> bool:
    """Whether a distribution gives it; a name of this project is never another's."""
    return kind not in (*BUILT_IN, "transmil") and kind in installed("bag_classifiers")


def check_kind(kind: str) -> str:
    """The kind, where it is one.

    Raises:
        ValueError: unknown; the nearest is named.
    """
    name = torchmil_name(kind)
    if kind in BUILT_IN or name in TORCHMIL or kind.startswith(OWN_PREFIX) or is_installed(kind):
        return kind
    known = [*BUILT_IN, *installed("bag_classifiers"), *(f"{TORCHMIL_PREFIX}{one}" for one in TORCHMIL)]
    near = difflib.get_close_matches(kind, known, n=1, cutoff=0.0)[0]
    raise ValueError(
        f"unknown bag classifier; nearest: {near}; all: {', '.join(BUILT_IN)}, and torchmil's: {', '.join(TORCHMIL)}"
    )
