"""What a command says that is interrupted; loads nothing."""

import shlex
from collections.abc import Sequence

EXIT_INTERRUPTED = 130
_SECONDS = "doctor", "genes", "labels", "patches", "plan", "power", "recipes", "report", "robustness", "share", "view"
"""Commands of seconds; all others keep what is done, and do what is left when they are called again."""


def how_to_go_on(arguments: Sequence[str]) -> str:
    """What an interrupted command says."""
    name = next((one for one in arguments if not one.startswith("-")), "")
    command = shlex.join(["hage", *(one for one in arguments if one != "--overwrite")])
    if name in _SECONDS:
        return f"interrupted; nothing is half written, `{command}` begins anew"
    return f"interrupted; what is done is kept, `{printable(command)}` goes on from where it stopped"


def printable(text: str) -> str:
    """Text that any terminal takes: bytes of a name that are no UTF-8 as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
