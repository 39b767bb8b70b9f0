"""A user's regular expression over many names, in a time that does not depend on how it was written."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from hage_transfer.errors import ConfigError

_SECONDS, _SECONDS_PER_NAME = 1.0, 5e-5
_SHOWN = 80
_CHILD = """
import json, re, sys
pattern, names = json.load(sys.stdin)
found = re.compile(pattern)
matches = [found.fullmatch(name) for name in names]
json.dump([sorted(found.groupindex), [match and match.groupdict() for match in matches]], sys.stdout)
"""


@dataclass(frozen=True)
class Matched:
    """What a pattern found.

    Attributes:
        groups: its named groups.
        values: of each name, what its groups hold (None: a group that took no part); None where it does not match.
    """

    groups: tuple[str, ...]
    values: tuple[dict[str, str | None] | None, ...]


def match_all(pattern: str, names: Sequence[str], *, key: str) -> Matched:
    """Matches whole names, in a process of its own that is ended where the pattern backtracks without end.

    Args:
        pattern: regular expression with named groups.
        names: to be matched.
        key: of the config, for messages.

    Raises:
        ConfigError: not a regular expression, or one that takes more than a second and 50 us a name.
    """
    shown = repr(pattern if len(pattern) <= _SHOWN else f"{pattern[:_SHOWN]}...")
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError, MemoryError, DeprecationWarning) as error:
        raise ConfigError(f"{key} = {shown}: not a regular expression: {error}") from None
    limit = _SECONDS + _SECONDS_PER_NAME * len(names)
    try:
        ran = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _CHILD],
            input=json.dumps([pattern, list(names)]),
            capture_output=True,
            text=True,
            timeout=limit,
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"{key} = {shown}: takes more than {limit:.0f} s over {len(names)} names, since it repeats what it repeats "
            "(such as (a+)+); write it with one repetition for each part of the name"
        ) from None
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no reason"])[-1]
        raise ConfigError(f"{key} = {shown}: cannot be matched ({last[:200]})") from None
    groups, values = json.loads(ran.stdout)
    return Matched(tuple(groups), tuple(values))
