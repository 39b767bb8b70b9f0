"""Parts that other distributions install under entry points: a config may name one, and never code itself.

Group                              An entry gives
=================================  ===================================================================================
``hage_transfer.encoders``         a frozen encoder (``OwnEncoder`` says what it has), or a class of one
``hage_transfer.bag_classifiers``  a class of ``nn.Module`` (``mil``, ``model.kind``)
``hage_transfer.section_readers``  a ``SectionLayout`` (``data.layout``)
``hage_transfer.slide_readers``    path -> ``PixelSource``; the entry's name is the file ending that it reads
``hage_transfer.gene_embeddings``  symbols and vectors, or a function that gives them (``genes.installed``)
``hage_transfer.pretraining``      a ``Method`` (``methods``)
=================================  ===================================================================================
"""

import sys
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from hage_transfer.errors import ConfigError, nearest

Group = Literal["encoders", "bag_classifiers", "section_readers", "slide_readers", "gene_embeddings", "pretraining"]


def installed(group: Group) -> tuple[str, ...]:
    """Names of the entries of a group, sorted; nothing is loaded."""
    return tuple(sorted(_entries(group, tuple(sys.path))))


def load_extension(group: Group, name: str) -> Any:
    """What an installed entry gives.

    Raises:
        ConfigError: two distributions have an entry of this name, or it cannot be loaded; the distribution is named.
    """
    found = _entries(group, tuple(sys.path))[name]
    owners = [_owner(one) for one in found]
    if len(found) > 1:
        raise ConfigError(f"hage_transfer.{group}: {' and '.join(owners)} both install {name}; uninstall one of them")
    try:
        return found[0].load()
    except Exception as error:
        raise ConfigError(
            f"{owners[0]}: its entry {name} of hage_transfer.{group} cannot be loaded ({found[0].value}: "
            f"{type(error).__name__}: {error}); mend or uninstall it"
        ) from error


def check_named(name: str, known: Iterable[str], group: Group) -> str:
    """The name, where this project or an installed distribution has it.

    Raises:
        ValueError: unknown; the nearest is named. (Validators of configs raise this.)
    """
    names = [*known, *installed(group)]
    if name in names:
        return name
    near = nearest(name, names)
    raise ValueError(f"unknown; nearest: {near[0] if near else 'none'}; all: {', '.join(names)}")


@lru_cache(maxsize=32)
def _entries(group: Group, _path: tuple[str, ...]) -> dict[str, list[EntryPoint]]:
    """Entries by name; one that several places of the path give alike counts once."""
    found: dict[str, list[EntryPoint]] = {}
    for one in entry_points(group=f"hage_transfer.{group}"):
        alike = found.setdefault(one.name, [])
        if all(_owner(one) != _owner(other) for other in alike):
            alike.append(one)
    return found


def _owner(entry: EntryPoint) -> str:
    return "an unnamed distribution" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
