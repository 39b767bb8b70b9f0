"""`judge_genes`: what gene vectors know, beside vectors that know nothing."""

import gzip
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hage_transfer.compare.gene_vectors import PairTest, neighbours, pair_test, predict_held_out
from hage_transfer.config import Changes
from hage_transfer.data.co_expression import GeneEmbeddings
from hage_transfer.data.expression import normalise
from hage_transfer.data.gene_vectors import read_vectors, restricted
from hage_transfer.data.genes import panel_counts, read_symbols
from hage_transfer.door.given import ConfigLike, PathLike
from hage_transfer.door.recipes import resolve_config
from hage_transfer.errors import ConfigError, DataError, nearest, some
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.gene_choice import sections_for_genes
from hage_transfer.pretrain.genes import choose_panel, read_names

PAIRS_WANTED = "wanted two symbols and 1 (share function) or 0 a line, or Gene2Vec's *_text.txt with its *_label.txt"


@dataclass(frozen=True, kw_only=True)
class GeneVerdict:
    """What vectors know.

    Attributes:
        source: of the vectors, and whose counts they have read.
        n_vectors: genes that have one.
        n_panel: genes of the panel; 0 where none was given.
        n_covered: of them with a vector.
        pairs: the pair test; None where no pairs were given.
        near: neighbours of named genes, with cosines.
        held_out: PCC of held-out genes by own, permuted, random vectors and the panel's mean; empty without a config.
        counts_read: sections of ``held_out`` whose counts the vectors have read.
    """

    source: str
    n_vectors: int
    n_panel: int
    n_covered: int
    pairs: PairTest | None
    near: dict[str, list[tuple[str, float]]]
    held_out: dict[str, float]
    counts_read: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{self.n_vectors:,} gene vectors of {self.source}"]
        if self.n_panel:
            lines.append(f"panel: {self.n_covered:,} of {self.n_panel:,} genes have one")
        if self.pairs:
            test = self.pairs
            verdict = "above chance" if test.low > 0.5 else "not above chance"
            lines.append(
                f"pairs that share function: AUC {test.auc:.3f}, 95% interval {test.low:.3f} to {test.high:.3f} over "
                f"genes ({verdict}); {test.n_pairs:,} pairs of {test.n_genes:,} genes; with vectors exchanged among "
                f"genes 97.5% are below {test.permuted_high:.3f}"
            )
        for gene, found in self.near.items():
            lines.append(f"near {gene}: " + ", ".join(f"{other} {cosine:.2f}" for other, cosine in found))
        if self.held_out:
            scores = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in self.held_out.items())
            lines.append(f"held-out genes predicted from the others' counts, PCC within sections: {scores}")
            if self.counts_read:
                lines.append(f"the vectors have read the counts of {some(self.counts_read)}: own is no forecast there")
        return "\n".join(lines)

    def frame(self) -> pd.DataFrame:
        """A row a number."""
        pairs = {f"pairs_{key}": value for key, value in vars(self.pairs).items()} if self.pairs else {}
        held_out = {f"held_out_{key}": value for key, value in self.held_out.items()}
        return pd.Series({"genes": self.n_vectors, **pairs, **held_out}, name="value").to_frame()

    def _repr_html_(self) -> str:
        return f"<p>{self.source}</p>{self.frame().to_html()}"


def judge_genes(
    vectors: PathLike,
    *,
    pairs: PathLike | None = None,
    panel: PathLike | None = None,
    config: ConfigLike | None = None,
    changes: Changes | None = None,
    near: Sequence[str] = (),
    n_near: int = 8,
    seed: int = 0,
) -> GeneVerdict:
    """Judges gene vectors: the pair test, neighbours, coverage, and genes that they predict in counts.

    Args:
        vectors: file in any form that ``gene_embeddings`` reads.
        pairs: file, or folder of files, of gene pairs with 1 or 0; None: no pair test.
        panel: file of genes, one a line, to which all is restricted; None: the config's, else every vector.
        config: of `pretrain`, whose sections' counts are predicted; None: none are.
        changes: of the config.
        near: genes whose neighbours are told.
        n_near: how many.
        seed: of draws, folds and random vectors.

    Raises:
        InputError: a file is wrong, or nothing is left to judge.
    """
    if config is None and changes:
        raise ConfigError("changes= are of a config; give one")
    found = read_vectors(str(vectors), dim=200)
    settings = None if config is None else resolve_config(PretrainConfig, config, changes or {})
    names = None if settings is None else read_names(settings.genes)
    chosen = None if settings is None else sections_for_genes(settings, names, fold=None, training_only=False)
    wanted = read_symbols(Path(panel)) if panel is not None else None
    if wanted is None and settings is not None and chosen is not None:
        wanted = list(choose_panel(chosen.sections, settings.genes, names).symbols)
    used = found if wanted is None else restricted(found, wanted)
    if len(used.symbols) < 10:
        raise DataError(f"{vectors}: {len(used.symbols)} of the panel's genes have a vector; wanted 10 or more")
    sections = {} if chosen is None else {one.uns["section"]["name"]: one for one in chosen.sections}
    expression = {name: normalise(panel_counts(one, used.symbols), "spot_log10") for name, one in sections.items()}
    return GeneVerdict(
        source=found.source,
        n_vectors=len(found.symbols),
        n_panel=len(wanted or ()),
        n_covered=len(used.symbols) if wanted else 0,
        pairs=None if pairs is None else _pairs(used, Path(pairs), seed=seed),
        near={gene: _near(restricted(found, {*used.symbols, gene}), gene, n_near) for gene in near},
        held_out=predict_held_out(expression, used.vectors, seed=seed) if expression else {},
        counts_read=tuple(name for name in sections if name in found.counts_read),
    )


def _near(vectors: GeneEmbeddings, gene: str, n: int) -> list[tuple[str, float]]:
    if gene not in vectors.symbols:
        raise DataError(f"near={gene}: has no vector; nearest names: {some(nearest(gene, vectors.symbols, 3))}")
    return neighbours(vectors.symbols, vectors.vectors, gene, n=n)


def _pairs(vectors: GeneEmbeddings, path: Path, *, seed: int) -> PairTest:
    row = {gene: number for number, gene in enumerate(vectors.symbols)}
    read = {(a, b): share for a, b, share in _read_pairs(path)}
    kept = [(row[a], row[b], share) for (a, b), share in read.items() if a in row and b in row]
    table = np.array(kept, dtype=np.int64).reshape(-1, 3)
    if len(np.unique(table[:, 2])) < 2:
        raise DataError(f"{path}: {len(kept)} of {len(read)} pairs are of genes with vectors; wanted both kinds")
    return pair_test(vectors.vectors, table[:, :2], table[:, 2], seed=seed)


def _read_pairs(path: Path) -> list[tuple[str, str, int]]:
    files = sorted(path.glob("*_text.txt*")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise DataError(f"{path}: no file of gene pairs; {PAIRS_WANTED}")
    return [pair for file in files for pair in _file_pairs(file)]


def _file_pairs(file: Path) -> Iterable[tuple[str, str, int]]:
    lines = [line.split() for line in _lines(file)]
    if "_text.txt" in file.name:
        labels = _lines(file.with_name(file.name.replace("_text.txt", "_label.txt")))
        if len(labels) != len(lines):
            raise DataError(f"{file}: {len(lines)} pairs and {len(labels)} labels; {PAIRS_WANTED}")
        lines = [[*words, label.strip()] for words, label in zip(lines, labels, strict=True)]
    for number, words in enumerate(lines, start=1):
        if len(words) != 3 or words[2] not in ("0", "1"):
            raise DataError(f"{file}: line {number} is {' '.join(words)!r:.60}; {PAIRS_WANTED}")
        yield words[0], words[1], int(words[2])


def _lines(file: Path) -> list[str]:
    try:
        data = file.read_bytes()
        text = gzip.decompress(data) if file.suffix == ".gz" else data
        return [line for line in text.decode().splitlines() if line.strip()]
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as gene pairs ({error}); {PAIRS_WANTED}") from None
