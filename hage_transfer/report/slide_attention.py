"""Where a slide classifier looked: attention maps of `hage heatmap` and the genes behind them."""

from collections.abc import Sequence
from pathlib import Path

from hage_transfer.csv_table import as_number, csv_table, is_plain_name
from hage_transfer.errors import DataError
from hage_transfer.report.cells import MISSING, Number, Table, number
from hage_transfer.report.layout import Section
from hage_transfer.report.pictures import Picture, read_picture
from hage_transfer.report.runs import Run
from hage_transfer.running.run_directory import GENES_FILE, HEATMAPS_FOLDER, SLIDES_FILE

MAX_SLIDES, MAX_ROWS, TOP_GENES, TOP_OVER_SLIDES = 6, 40, 6, 8


def slide_section(run: Run, anchor: str) -> Section | None:
    """Slides of each source, the attention maps of some and their genes; None where `hage heatmap` did not run.

    Raises:
        DataError: an attention map or a table is damaged.
    """
    folders = sorted(path.parent for path in (run.path / HEATMAPS_FOLDER).glob(f"*/{SLIDES_FILE}"))
    if not folders:
        return None
    tables, pictures, left = [], [], 0
    for folder in folders:
        rows = _read(folder / SLIDES_FILE)
        tables.append(_slides_table(rows, folder.name))
        chosen = [row for row in telling(rows) if (folder / row["slide"] / "attention.png").is_file()]
        pictures += [_picture(folder, row) for row in chosen[:MAX_SLIDES]]
        left += len(rows) - len(chosen[:MAX_SLIDES])
        genes = (_genes_over_slides(folder), _genes_table(folder, chosen))
        tables += [table for table in genes if table is not None]
    text = [
        "Each slide is explained by the models that did not train on it. Attention says what a model weighed, not that "
        "it was right to."
    ]
    if pictures:
        text[0] += " The maps are of the surest wrong and the surest right calls of each class."
    if pictures and left > 0:
        text.append(f"{left} more attention maps are in {run.name}/{HEATMAPS_FOLDER}.")
    return Section(
        f"Where it looked ({run.name})", anchor, tuple(text), tuple(tables), pictures=tuple(pictures), maps_first=True
    )


def telling(rows: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Slides in the order in which they are worth a look: by turns the surest wrong and right of each class."""
    groups: dict[tuple[bool, str], list[dict[str, str]]] = {}
    for row in sorted(rows, key=lambda row: -_float(row.get("probability"))):
        groups.setdefault((row.get("label") == row.get("predicted"), row.get("label", "")), []).append(row)
    queues = [groups[key] for key in sorted(groups)]
    longest = max((len(queue) for queue in queues), default=0)
    return [queue[place] for place in range(longest) for queue in queues if place < len(queue)]


def _picture(folder: Path, row: dict[str, str]) -> Picture:
    call = f"called {row.get('predicted')} ({_float(row.get('probability')):.2f}), is {row.get('label')}"
    if "probability" not in row:
        call = ", ".join((*(f"{name} {row[name]}" for name in _said(row)), f"label {row.get('label')}"))
    alt = f"Attention over slide {row['slide']} of source {folder.name}: {call}"
    path = folder / row["slide"] / "attention.png"
    return read_picture(path, title=f"{row['slide']}, {folder.name}: {call}", alt=alt)


def _slides_table(rows: Sequence[dict[str, str]], source: str) -> Table:
    is_called = any("probability" in row for row in rows)
    said = ["probability"] if is_called else _said(rows[0]) if rows else []
    cells = tuple(
        (
            row["slide"],
            row.get("label", ""),
            *((row.get("predicted", ""),) if is_called else ()),
            *(number(as_number(row[name])) for name in said),
            row.get("fold", ""),
            number(as_number(row.get("n_tiles")), ",.0f"),
        )
        for row in rows[:MAX_ROWS]
    )
    what = "Probability of the predicted class" if is_called else " and ".join(said)
    caption = f"{what}, mean over trials, from the fold in which the slide was tested."
    if len(rows) > MAX_ROWS:
        caption += f" {len(rows) - MAX_ROWS} more slides are in slides.csv."
    called = ("Predicted", "Probability") if is_called else tuple(said)
    header = ("Slide", "Label", *called, "Fold", "Tiles")
    return Table(caption, header, cells, text_columns=3 if is_called else 2, title=f"Slides, {source}", folded=True)


def _said(row: dict[str, str]) -> list[str]:
    """Columns of a target's scores: those between the label and the fold."""
    names = list(row)
    return names[names.index("label") + 1 : names.index("fold")] if {"label", "fold"} <= set(names) else []


def _genes_over_slides(folder: Path) -> Table | None:
    """The genes that mark deciding tiles again and again, the first of each predicted class; None without them."""
    if not (folder / GENES_FILE).is_file():
        return None
    shown: dict[str, list[dict[str, str]]] = {}
    for row in _read(folder / GENES_FILE):
        shown.setdefault(row.get("predicted", ""), []).append(row)
    cells = tuple(
        (
            row.get("gene", "?"),
            called,
            number(as_number(row.get("mean_rank_biserial")), "+z.2f"),
            _range(row),
            number(as_number(row.get("q_value"))),
            number(as_number(row.get("heldout_pcc")), ".2f"),
            number(as_number(row.get("n_slides")), ".0f"),
        )
        for called, rows in shown.items()
        for row in rows[:TOP_OVER_SLIDES]
    )
    why = ". ".join(dict.fromkeys(row["reason"] for rows in shown.values() for row in rows[:1] if row.get("reason")))
    caption = (
        "Predicted expression in the deciding tiles against the rest of each slide (rank-biserial, -1 to 1), mean over "
        "the slides called so; interval and q over groups, not tiles. PCC says how well the gene is predicted on "
        "held-out sections at all." + (f" {why}." if why else "")
    )
    header = ("Gene", "Called", "Effect", "95% interval", "q", "PCC", "Slides")
    title = f"Genes of the deciding tiles over slides, {folder.name}"
    return Table(caption, header, cells, text_columns=2, title=title)


def _genes_table(folder: Path, rows: Sequence[dict[str, str]]) -> Table | None:
    """The genes of largest effect of each shown slide (its ``genes.csv`` has them first), and the most attended."""
    cells = []
    for row in rows[:MAX_SLIDES]:
        path = folder / row["slide"] / GENES_FILE
        found = _read(path) if path.is_file() else []
        effects = ", ".join(
            f"{gene.get('gene', '?')} {_float(gene.get('rank_biserial')):+z.2f}" for gene in found[:TOP_GENES]
        )
        attended = sorted(
            (gene for gene in found if gene.get("gene_attention_deciding")),
            key=lambda gene: -_float(gene["gene_attention_deciding"]),
        )
        most = ", ".join(
            f"{gene.get('gene', '?')} ×{_float(gene['gene_attention_deciding']):.3f}" for gene in attended[:TOP_GENES]
        )
        cells.append((row["slide"], row.get("label", ""), effects or MISSING, most or MISSING))
    if all(effects == MISSING for _, _, effects, _ in cells):
        return None
    caption = (
        "Effect: predicted expression in the tiles of highest attention against the slide's other tiles, "
        "rank-biserial; it tests nothing, and both come from the same features. ×: how the encoder weighs the gene "
        "there against an even share (1 is even). None of these genes was measured, or shown to matter."
    )
    title = f"Genes behind the slides, {folder.name}"
    header = ("Slide", "Label", "Genes of largest effect", "Most attended")
    return Table(caption, header, tuple(cells), text_columns=4, title=title)


def _range(row: dict[str, str]) -> str:
    low, high = as_number(row.get("low")), as_number(row.get("high"))
    return MISSING if low is None or high is None else Number(f"{low:+z.2f} to {high:+z.2f}", low)


def _read(path: Path) -> list[dict[str, str]]:
    wanted = "slide" if path.name == SLIDES_FILE else "gene"
    with csv_table(path, absent="no such file") as table:
        if wanted not in table.columns:
            raise DataError(f"{path}: has no column {wanted}; run `explain` again with overwrite=True")
        rows = [row for _, row in table.rows]
    for row in rows:
        if wanted == "slide" and not is_plain_name(row["slide"]):
            raise DataError(f"{path}: {row['slide']!r} is no slide's name, which has no folders in it")
    return rows


def _float(text: str | None) -> float:
    value = as_number(text)
    return 0.0 if value is None else value
