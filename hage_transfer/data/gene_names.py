"""Names of genes resolved offline: symbol aliases and Ensembl ids, from a table or from what the sections carry.

A name that is a current symbol is never renamed, and an alias of two current symbols is never resolved but reported.
"""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from hage_transfer.errors import some

if TYPE_CHECKING:
    import anndata as ad

log = logging.getLogger(__name__)

ID_SEPARATOR = "|"
LISTED_AS = "listed_as"
_VERSIONED_ID = re.compile(r"(ENS[A-Z]*G\d+)\.\d+")


@dataclass(frozen=True)
class GeneNames:
    """Which current symbols a name may stand for.

    Attributes:
        symbols: current symbols.
        aliases: of each other name (old symbol, alias, Ensembl id without version), the current symbols.
        source: the table's file name, or the sections.
    """

    symbols: frozenset[str]
    aliases: Mapping[str, tuple[str, ...]]
    source: str

    @classmethod
    def of_pairs(cls, pairs: Iterable[tuple[str, str]], symbols: Iterable[str], *, source: str) -> "GeneNames":
        """Gathers (alias, symbol) pairs; a pair twice counts once, and an alias of itself not at all."""
        gathered: dict[str, list[str]] = {}
        for alias, symbol in pairs:
            found = gathered.setdefault(without_version(alias), [])
            if symbol not in found:
                found.append(symbol)
        known = frozenset(symbols)
        aliases = {alias: tuple(sorted(found)) for alias, found in gathered.items() if alias not in known}
        return cls(known, aliases, source)

    def current(self, name: str) -> tuple[str, ...]:
        """The current symbols that ``name`` may stand for; itself (without version) where nothing is known of it."""
        bare = without_version(name)
        return (name,) if name in self.symbols else self.aliases.get(bare, (bare,))

    def joined(self, carried: "GeneNames") -> "GeneNames":
        """This table, and what the sections carry, told in this table's current symbols."""
        pairs = [(alias, symbol) for alias, found in self.aliases.items() for symbol in found]
        for alias, found in carried.aliases.items():
            if alias not in self.aliases and alias not in self.symbols:
                pairs += [(alias, symbol) for name in found for symbol in self.current(name)]
        symbols = self.symbols | {symbol for symbol in carried.symbols if symbol not in self.aliases}
        return GeneNames.of_pairs(pairs, symbols, source=f"{self.source} and {carried.source}")


@dataclass(frozen=True)
class FoundNames:
    """What became of names that were looked up in a list.

    Attributes:
        found: each name that the list has, itself or under another name, and its name there.
        unresolved: each other name, and why.
    """

    found: dict[str, str]
    unresolved: dict[str, str]

    @property
    def renamed(self) -> dict[str, str]:
        """The found names that the list has under another name."""
        return {name: listed for name, listed in self.found.items() if name != listed}


def without_version(name: str) -> str:
    """An Ensembl gene id without its version (ENSG00000141510.18); any other name as it is."""
    match = _VERSIONED_ID.fullmatch(name)
    return match[1] if match else name


def carried_names(sections: "Sequence[ad.AnnData]") -> GeneNames:
    """Ids that the sections carry (``var["gene_id"]``) and the symbols they list them under.

    Logs ids that sections list under different symbols: such genes are not one gene until a table makes them one.
    """
    symbols = dict.fromkeys(symbol for section in sections for symbol in section.var_names)
    pairs = [
        (gene_id, symbol)
        for section in sections
        if "gene_id" in section.var
        for symbol, joined in section.var["gene_id"].items()
        for gene_id in str(joined).split(ID_SEPARATOR)
        if gene_id
    ]
    names = GeneNames.of_pairs(pairs, symbols, source="the sections' own gene ids")
    several = [f"{alias} is {' and '.join(found)}" for alias, found in names.aliases.items() if len(found) > 1]
    if several:
        log.warning(
            "%d gene ids go by several symbols (%s); genes.names can make them one", len(several), some(several)
        )
    return names


def resolve(names: Sequence[str], listed: Iterable[str], table: GeneNames | None) -> FoundNames:
    """Looks names up in a list: as they are, else by the current symbol that both names stand for.

    Args:
        names: to look up.
        listed: names of the list (a section's genes, a dictionary of embeddings).
        table: aliases; None resolves Ensembl ids of different versions alone.
    """
    table = table or GeneNames(frozenset(), {}, "no table")
    there = set(listed)
    by_symbol: dict[str, list[str]] = {}
    if not there.issuperset(names):
        for other in sorted(there):
            stands_for = table.current(other)
            if len(stands_for) == 1:
                by_symbol.setdefault(stands_for[0], []).append(other)
    found, unresolved = {}, {}
    for name in names:
        stands_for = table.current(name)
        candidates = by_symbol.get(stands_for[0], [])
        if name in there:
            found[name] = name
        elif len(stands_for) > 1:
            unresolved[name] = f"ambiguous: may be {' or '.join(stands_for)}"
        elif stands_for[0] in candidates or len(candidates) == 1:
            found[name] = stands_for[0] if stands_for[0] in candidates else candidates[0]
        elif candidates:
            unresolved[name] = f"ambiguous: listed as {' and as '.join(candidates)}"
        else:
            unresolved[name] = "not listed" if stands_for == (name,) else f"stands for {stands_for[0]}, not listed"
    return FoundNames(found, unresolved)


def rename_to_current(sections: "Sequence[ad.AnnData]", table: GeneNames) -> None:
    """Renames the sections' genes, in place, to the table's current symbols, so that all sections call a gene alike.

    ``var["listed_as"]`` keeps the name that the file had ("" where it stays). Ambiguous aliases stay, and so does a
    gene whose current symbol the section lists too, or lists under a second old name; both are logged.
    """
    renamed: dict[str, str] = {}
    kept: dict[str, str] = {}
    for section in sections:
        listed = list(section.var_names)
        stands_for = [table.current(name) for name in listed]
        wanted = pd.Index(
            [found[0] if len(found) == 1 else name for name, found in zip(listed, stands_for, strict=True)]
        )
        clash = wanted.duplicated(keep=False)
        new = [name if clashes else symbol for name, symbol, clashes in zip(listed, wanted, clash, strict=True)]
        for name, found, symbol in zip(listed, stands_for, new, strict=True):
            if name != symbol:
                renamed[name] = symbol
            elif len(found) > 1:
                kept[name] = f"{name} may be {' or '.join(found)}"
            elif found[0] != name:
                kept[name] = f"{name} is {found[0]}, which the section lists too"
        section.var[LISTED_AS] = [name if name != symbol else "" for name, symbol in zip(listed, new, strict=True)]
        section.var_names = new
    log.info(
        "%s: %d gene names of the sections are now current symbols (%s)",
        table.source,
        len(renamed),
        some([f"{name} is {symbol}" for name, symbol in renamed.items()]) or "all were",
    )
    if kept:
        log.warning("%d gene names of the sections stay: %s", len(kept), some(list(kept.values())))
