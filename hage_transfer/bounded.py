"""Text, YAML and JSON of a user's, read within bounds of size, depth and time: every fault is one message."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

MAX_YAML_BYTES, MAX_JSON_BYTES = 1 << 18, 1 << 28
_MAX_DEPTH, _MAX_NODES, _MAX_NUMBER = 50, 100_000, 1 << 63
_MAX_NUMBER_LETTERS = 400
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FAULTS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


class BoundsError(ValueError):
    """A text that is damaged, or past the bounds; its message says why, without the file's name."""


def read_text(path: Path, *, limit_bytes: int) -> str:
    """A whole file as UTF-8 text, with or without a byte-order mark.

    Raises:
        FileNotFoundError: there is none.
        BoundsError: no regular file (a FIFO would never end), too large, unreadable, or no UTF-8.
    """
    try:
        if path.exists() and not path.is_file():
            raise BoundsError("is a folder, a pipe or a device, wanted a file")
        size = path.stat().st_size
        if size > limit_bytes:
            raise BoundsError(f"is of {size:,} bytes, wanted {limit_bytes:,} at most")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise
    except (OSError, UnicodeError) as error:
        raise BoundsError(str(error)) from None
    except ValueError as error:
        raise error if isinstance(error, BoundsError) else BoundsError(str(error)) from None


def parse_yaml(text: str) -> Any:
    """One YAML document of plain values.

    Raises:
        BoundsError: not YAML, values of a tag that is none of theirs, more than 50 levels or 100,000 values (each alias
            counted as all that it stands for), an anchor within itself, or a number of more than 64 bits.
    """
    if len(text) > MAX_YAML_BYTES:
        raise BoundsError(f"is of {len(text):,} characters, wanted {MAX_YAML_BYTES:,} at most")
    try:
        _check_events(yaml.parse(text, Loader=_LOADER))
        tree = yaml.load(text, Loader=_LOADER)
        _check_numbers(tree)
    except yaml.YAMLError as error:
        raise BoundsError(f"not valid YAML: {' '.join(str(error).split())}") from None
    except BoundsError:
        raise
    except _FAULTS as error:
        why = " ".join(str(error).split())[:200]
        raise BoundsError(f"not valid YAML: {type(error).__name__} ({why})") from None
    return tree


def read_json(path: Path, *, limit_bytes: int = MAX_JSON_BYTES) -> Any:
    """A file of JSON.

    Raises:
        FileNotFoundError: there is none.
        BoundsError: as ``read_text``; not JSON, nested too deep, or with a number of thousands of digits.
    """
    text = read_text(path, limit_bytes=limit_bytes)
    try:
        return json.loads(text)
    except RecursionError:
        raise BoundsError("not valid JSON: nested too deep") from None
    except ValueError as error:
        raise BoundsError(f"not valid JSON: {error}") from None


def _check_events(events: Iterator[Any]) -> None:
    """Counts what a document would become, alias by alias, before any of it is made."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = [(None, 0)]
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_nodes):
                raise BoundsError(f"not valid YAML: *{event.anchor} stands within itself")
            _grow(open_nodes, sizes.get(str(event.anchor), 1))
        elif isinstance(event, yaml.ScalarEvent):
            _check_scalar(event)
            _grow(open_nodes, 1)
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            open_nodes.append((event.anchor, 1))
            if len(open_nodes) > _MAX_DEPTH:
                raise BoundsError(f"not valid YAML: nested more than {_MAX_DEPTH - 1} levels deep")
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            anchor, size = open_nodes.pop()
            if anchor:
                sizes[anchor] = size
            _grow(open_nodes, size)


def _grow(open_nodes: list[tuple[str | None, int]], by: int) -> None:
    anchor, size = open_nodes[-1]
    open_nodes[-1] = anchor, size + by
    if size + by > _MAX_NODES:
        raise BoundsError(f"not valid YAML: more than {_MAX_NODES:,} values, aliases counted as what they stand for")


_NUMBER = re.compile(r"[-+.0-9_:eExXaAbBcCdDfF]+")


def _check_scalar(event: Any) -> None:
    quoted = event.implicit[1] and not event.implicit[0]
    if len(event.value) > _MAX_NUMBER_LETTERS and not quoted and _NUMBER.fullmatch(event.value):
        raise BoundsError(f"not valid YAML: a number of {len(event.value):,} letters")


def _check_numbers(tree: Any) -> None:
    if isinstance(tree, dict):
        for key, value in tree.items():
            _check_numbers(key)
            _check_numbers(value)
    elif isinstance(tree, list | set | tuple):
        for value in tree:
            _check_numbers(value)
    elif isinstance(tree, int) and abs(tree) >= _MAX_NUMBER:
        raise BoundsError(f"not valid YAML: the number {str(tree)[:20]}... is of more than 64 bits")
