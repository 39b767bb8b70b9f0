"""Files of tables and facts that come with sections: plain or gzipped text, parquet, JSON."""

import gzip
import io
import json
import re
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow

from hage_transfer.damage import reading
from hage_transfer.errors import DataError, some

_SEPARATORS = {";": "semicolons", "\t": "tabs", ",": "commas", " ": "spaces"}
_GZIP, _UTF16 = b"\x1f\x8b", (b"\xff\xfe", b"\xfe\xff")


def read_bytes(path: Path) -> bytes:
    """The content of a plain or gzipped file.

    Raises:
        DataError: missing, its gzip stream is damaged or cut short, its ending says gzip where it is none or the
            reverse, or it is text of 16 bits a letter.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    if path.name.endswith(".gz") != raw.startswith(_GZIP) and raw:
        met = "is gzip and its name does not end in .gz" if raw.startswith(_GZIP) else "ends in .gz and is no gzip"
        raise DataError(f"{path}: {met}; fetch it again, or name it by what it is")
    if raw.startswith(_UTF16):
        raise DataError(f"{path}: is text in UTF-16; save it as UTF-8 (or as tab-delimited text)")
    if not path.name.endswith(".gz"):
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged or truncated gzip ({error}); fetch it again") from None


def read_facts(path: Path) -> Mapping[str, Any]:
    """Names and values of a file of JSON.

    Raises:
        DataError: missing, not JSON, or anything else than names and values.
    """
    with reading(path, "not JSON"):
        facts = json.loads(read_bytes(path).decode("utf-8-sig"))
    return as_facts(path, facts)


def as_facts(path: object, facts: Any) -> Mapping[str, Any]:
    """What was read, where it is names and values.

    Raises:
        DataError: it is not.
    """
    if not isinstance(facts, Mapping):
        raise DataError(f"{path}: wanted names and values, this is {str(facts)[:80]!r}")
    return facts


def positive_fact(path: object, facts: Mapping[str, Any], key: str) -> float | None:
    """A number above 0; None where there is none.

    Raises:
        DataError: something else.
    """
    if facts.get(key) is None:
        return None
    number = as_positive(facts[key])
    if number is None:
        raise DataError(f"{path}: no usable {key}: {str(facts[key])[:80]!r} is not a number above 0")
    return number


def as_positive(value: Any) -> float | None:
    """A number above 0, or its text; None for anything else."""
    try:
        number = float(np.asarray(value).reshape(()))
    except (TypeError, ValueError, OverflowError):
        return None
    return number if np.isfinite(number) and number > 0 and not isinstance(value, bool) else None


def read_table(path: Path, what: str, columns: Sequence[str] = (), *, wanted: str = "", **options: Any) -> pd.DataFrame:
    """A table of text, or of parquet by its ending.

    Args:
        path: of the file.
        what: it should be, in words.
        columns: that it has.
        wanted: more on them, for the message.
        options: of ``pandas.read_csv``.

    Raises:
        DataError: missing, not such a table, or without a column.
    """
    if path.suffix == ".parquet":
        with reading(path, "cannot be read as parquet", pyarrow.ArrowException, remedy="fetch it again"):
            table = pd.read_parquet(path)
        table = table.reset_index() if table.index.name is not None else table
    else:
        raw = io.BytesIO(read_bytes(path))
        with reading(path, f"not {what}", pd.errors.ParserWarning), warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows that are longer than the header
            table = pd.read_csv(raw, **{"encoding": "utf-8-sig", "low_memory": False, **options})
        twice = [name for name in table.columns if re.sub(r"\.\d+$", "", str(name)) in {*columns} - {name}]
        if twice:
            raise DataError(f"{path}: column {re.sub(r'[.][0-9]+$', '', twice[0])} is there twice; keep one")
    missing = [column for column in columns if column not in table]
    if missing:
        has = some(list(table.columns), 10)
        other = next((name for sign, name in _SEPARATORS.items() if has.count(sign) >= len(columns) - 1 > 0), "")
        between = f" (its columns are between {other}?)" if other and len(table.columns) == 1 else ""
        raise DataError(f"{path}: column {', '.join(missing)} missing; the file has {has}{between}{wanted}")
    return table


def numbers_of(path: Path, table: pd.DataFrame, columns: Sequence[str], row: Callable[[int], str]) -> pd.DataFrame:
    """Columns of a table as float64.

    Args:
        path: of the table, for the message.
        table: as read.
        columns: names.
        row: what a row is called.

    Raises:
        DataError: text, NaN or infinity among them; row, column and value of the first.
    """
    numbers = table[list(columns)].apply(pd.to_numeric, errors="coerce").astype(np.float64)
    for column in columns:
        wrong = np.flatnonzero(~np.isfinite(numbers[column]))
        if len(wrong):
            met = table[column].iloc[wrong[0]]
            met = "an empty or missing value" if pd.isna(met) else repr(met)
            raise DataError(f"{path}: {row(int(wrong[0]))}, column {column}: {met} is not a number")
    return numbers


def as_text(name: object) -> str:
    """A name that older files hold as bytes."""
    return name.decode("utf-8", errors="replace") if isinstance(name, bytes) else str(name)
