"""What the words of a report mean: marked in its text, from the second table of docs/words.md alone."""

import re
from functools import cache
from importlib.resources import files

from markupsafe import Markup, escape

_TABLE = "## Numbers of a report"


@cache
def meanings() -> dict[str, str]:
    """Words of a report with what they mean."""
    text = (files("hage_transfer.report") / "words.md").read_text(encoding="utf-8").partition(_TABLE)[2]
    rows = (line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| "))
    return {word: meaning.replace("`", "") for word, meaning in list(rows)[1:]}


@cache
def _pattern() -> re.Pattern[str]:
    words = "|".join(map(re.escape, sorted(meanings(), key=len, reverse=True)))
    return re.compile(rf"(?<![\w-])({words})(s?)(?![\w-])", re.IGNORECASE)


class Words:
    """Marks words of one page and keeps count of those that it has."""

    def __init__(self) -> None:
        self._used: dict[str, str] = {}

    @property
    def used(self) -> dict[str, str]:
        """Words that were marked, with their meanings, by name."""
        return dict(sorted(self._used.items(), key=lambda one: one[0].lower()))

    def mark(self, text: str, *, alone: bool = True) -> Markup:
        """The text, escaped, each of its words marked where it first stands.

        Args:
            text: of the page.
            alone: whether a mark is reached by the Tab key; inside a button it is not.
        """
        seen: set[str] = set()
        known = {word.lower(): word for word in meanings()}

        def marked(match: re.Match[str]) -> str:
            word = known[match[1].lower()]
            if word in seen or (word.isupper() and match[1] != word):
                return match[0]
            seen.add(word)
            self._used[word] = meanings()[word]
            reached = ' tabindex="0" role="button"' if alone else ""
            return f'<span class="term"{reached} aria-describedby="{anchor(word)}">{match[0]}</span>'

        return Markup(re.sub(r"`([^`<]+)`", r"<code>\1</code>", _pattern().sub(marked, str(escape(text)))))


def anchor(word: str) -> str:
    """A word's name in links."""
    return "word-" + re.sub(r"\W+", "-", word.lower())
