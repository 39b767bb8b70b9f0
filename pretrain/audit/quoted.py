"""The paper's own numbers (Tables 1, 2 and 3), to stand beside measured ones under the label ``quoted``."""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

METRICS = ("pcc_all", "pcc_heg50", "mse", "mae")


@dataclass(frozen=True)
class QuotedRow:
    """One row of a table of the paper.

    Attributes:
        table: 1 (methods), 2 (ablations) or 3 (clusters).
        dataset: ``her2st`` (HER2+) or ``cscc``.
        source: name in this project's results (``hage``, ``stnet``, ...), for Table 2 ``I`` to ``IV``, for Table 3
            ``k1_30_k2_2``.
        title: as the paper prints it.
        mean: by metric: ``pcc_all``, ``pcc_heg50``, ``mse``, ``mae``.
        std: by metric; empty where the table gives none.
    """

    table: int
    dataset: str
    source: str
    title: str
    mean: dict[str, float]
    std: dict[str, float]


def quoted_rows(*, table: int | None = None, dataset: str | None = None) -> list[QuotedRow]:
    """Rows of the paper's tables, in its order, of one table or data set where asked.

    Reference: Dang et al., HAGE, MICCAI 2025. Its scores are of UNI features, folds that leave one section out, and a
    normalisation and HEG rule that the paper does not state in full: they do not compare with measured ones digit by
    digit.
    """
    return [row for row in _read() if table in (None, row.table) and dataset in (None, row.dataset)]


@cache
def _read() -> tuple[QuotedRow, ...]:
    text = resources.files("hage_transfer.pretrain.audit").joinpath("quoted.json").read_text(encoding="utf-8")
    return tuple(
        QuotedRow(
            table=row["table"],
            dataset=row["dataset"],
            source=row["source"],
            title=row["title"],
            mean=dict(zip(METRICS, row["mean"], strict=True)),
            std=dict(zip(METRICS, row["std"], strict=True)) if "std" in row else {},
        )
        for row in json.loads(text)["rows"]
    )
