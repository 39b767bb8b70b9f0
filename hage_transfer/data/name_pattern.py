"""A user's regular expression over many names, in a time that does not depend on how it was written."""

import time
from collections.abc import Sequence

import regex

from hage_transfer.errors import ConfigError

_SECONDS, _SECONDS_PER_NAME, _SHOWN = 1.0, 5e-5, 80
Groups = dict[str, str | None]


def match_all(pattern: str, names: Sequence[str], *, key: str) -> tuple[tuple[str, ...], list[Groups | None]]:
    """Named groups of a pattern; and what they hold in each name (None: no part in it), None where it does not match.

    Args:
        pattern: regular expression with named groups; it is matched with whole names.
        names: to be matched.
        key: of the config, for messages.

    Raises:
        ConfigError: not a regular expression, or one that takes more than a second and 50 us a name.
    """
    shown = repr(pattern if len(pattern) <= _SHOWN else f"{pattern[:_SHOWN]}...")
    limit = _SECONDS + _SECONDS_PER_NAME * len(names)
    try:
        compiled, end = regex.compile(pattern), time.monotonic() + limit
        found = [compiled.fullmatch(name, timeout=max(end - time.monotonic(), 1e-3)) for name in names]
    except TimeoutError:
        raise ConfigError(
            f"{key} = {shown}: takes more than {limit:.0f} s over {len(names)} names, since it repeats what it repeats "
            "(such as (a+)+); write it with one repetition for each part of the name"
        ) from None
    except (regex.error, RecursionError, OverflowError, MemoryError, DeprecationWarning) as error:
        raise ConfigError(f"{key} = {shown}: not a regular expression: {error}") from None
    return tuple(sorted(compiled.groupindex)), [match and match.groupdict() for match in found]
