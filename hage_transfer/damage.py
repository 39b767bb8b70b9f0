"""What libraries raise on a file that is damaged, or not what its ending says, told as one error of ours."""

import lzma
import struct
import tokenize
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from hage_transfer.errors import DataError, HageError

DAMAGE: tuple[type[Exception], ...] = (
    OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError,
    AssertionError, MemoryError, SyntaxError, struct.error, zlib.error, lzma.LZMAError, tokenize.TokenError,
)  # fmt: skip


@contextmanager
def reading(
    path: object, what: str, *others: type[Exception], remedy: str = "", kind: type[HageError] = DataError
) -> Iterator[None]:
    """Tells what is raised inside as ``<path>: <what> (<why>); <remedy>``; errors of ours go on up as they are.

    Args:
        path: of the file.
        what: it is or cannot be, in words.
        others: that this library raises besides ``DAMAGE``.
        remedy: what to do.
        kind: of the error.

    Raises:
        HageError: of ``kind``.
    """
    try:
        yield
    except HageError:
        raise
    except (*DAMAGE, *others) as error:
        raise kind(f"{path}: {what} ({why(error)}){'; ' if remedy else ''}{remedy}") from None


def why(error: BaseException) -> str:
    """An error's message in one line; its kind where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
