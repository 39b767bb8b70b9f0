"""`gene_panel`: the genes that a config's rule chooses."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hage_transfer.config import Changes
from hage_transfer.door.given import ConfigLike, PathLike
from hage_transfer.door.recipes import resolve_config
from hage_transfer.errors import ConfigError
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.gene_choice import dropped_by_rule, sections_for_genes
from hage_transfer.pretrain.genes import choose_panel, judge_embeddings, read_names, write_panel_report
from hage_transfer.running.atomic import write_text

ENDINGS = (".txt", ".csv")


@dataclass(frozen=True)
class GenePanel:
    """A chosen panel.

    Attributes:
        symbols: its genes.
        report: gene by gene: kept or not, by which rule, under which name.
        counts: genes judged, dropped by each rule, and kept.
        note: which sections it was made on, and what may be done with it.
        files: that were written: the panel and its report.
    """

    symbols: tuple[str, ...]
    report: pd.DataFrame
    counts: dict[str, int]
    note: str
    files: tuple[Path, ...] = ()

    @property
    def n_resolved(self) -> int:
        """Kept genes that go by another name in the panel file or the sections."""
        return int((self.report["kept"] & (self.report["resolved_from"] != "")).sum())

    def frame(self) -> pd.DataFrame:
        """The report."""
        return self.report

    def table(self) -> pd.DataFrame:
        """Genes by rule."""
        return pd.DataFrame({"genes": self.counts})

    def _repr_html_(self) -> str:
        return self.table().to_html() + f"<p>{self.note}</p>"


def gene_panel(
    config: ConfigLike,
    *,
    changes: Changes | None = None,
    out: PathLike | None = None,
    fold: str | None = None,
    training_only: bool = False,
    overwrite: bool = False,
) -> GenePanel:
    """Chooses the gene panel by a config's rule.

    Args:
        config: of `pretrain`.
        changes: of the config.
        out: stem of ``<stem>.txt`` (one symbol a line; usable as ``genes.panel``) and ``<stem>.csv`` (why each gene),
            or a folder for ``panel.txt`` and ``panel.csv``; None: nothing is written.
        fold: held-out unit: the training sections of its fold alone choose.
        training_only: the same, where the split has one fold.
        overwrite: replace files that are there.

    Raises:
        InputError: the config, its sections or its rule are wrong, or the panel is empty.
    """
    settings = resolve_config(PretrainConfig, config, changes or {})
    files = () if out is None else _files(Path(out), overwrite=overwrite)
    names = read_names(settings.genes)
    chosen = sections_for_genes(settings, names, fold=fold, training_only=training_only)
    panel = choose_panel(chosen.sections, settings.genes, names)
    panel = judge_embeddings(panel, chosen.sections, settings.genes, names)
    if files:
        write_panel_report(files[1], panel)
        write_text(files[0], "".join(f"{symbol}\n" for symbol in panel.symbols))
    return GenePanel(tuple(panel.symbols), panel.report, dropped_by_rule(panel, settings.genes), chosen.note, files)


def _files(out: Path, *, overwrite: bool) -> tuple[Path, Path]:
    stem = out.with_suffix("") if out.suffix in ENDINGS else out / "panel"
    files = stem.with_name(f"{stem.name}.txt"), stem.with_name(f"{stem.name}.csv")
    refuse_taken(*files, overwrite=overwrite)
    return files


def refuse_taken(*files: Path, overwrite: bool) -> None:
    """Refuses to replace files, unless it is asked for.

    Raises:
        ConfigError: some are there.
    """
    there = [str(path) for path in files if path.exists()]
    if there and not overwrite:
        raise ConfigError(f"{' and '.join(there)} there already; give another out=, or overwrite=True")
