"""`hage`: the command line. Errors of ours become one clear message and an exit code; anything else is a bug."""

import errno
import importlib
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from rich.console import Console

import hage_transfer as ht
from hage_transfer.cli import printed
from hage_transfer.cli.flags import FlagFilter, as_flags
from hage_transfer.cli.groups import Group
from hage_transfer.cli.interrupted import EXIT_INTERRUPTED, how_to_go_on, printable
from hage_transfer.errors import HageError, ItemsFailedError

# typer brings click along inside itself from 0.29 on: its own base class is right for every release.
UsageError: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")
EXIT_ITEMS_FAILED, EXIT_INPUT = 1, 2

_SURROGATES, _LOOP, _MOST_SHOWN = "surrogates not allowed", "Symlink loop", 2_000
_ELSEWHERE = "name another place (--out, --set features=...), or make this one writable"
_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room and run the same command again: it does what is left"),
    errno.EFBIG: "no larger file is taken (`ulimit -f`, or the file system); raise the limit, or write elsewhere",
    **dict.fromkeys((errno.ENOENT, errno.ESTALE), "was it deleted or moved meanwhile? run the same command again"),
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EISDIR: "is a folder where a file is wanted; name another",
    **dict.fromkeys(
        (errno.ELOOP, errno.EINVAL, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST), _ELSEWHERE
    ),
}
"""What to do where a command's output cannot be written; any other error of the system is a bug."""

COMMANDS = {
    "demo": "Make synthetic tissue with genes, then pretrain, probe, classify slides and report; minutes on two cores.",
    "doctor": "Devices, frozen encoders and licences, disk, versions; what is missing and how to get it.",
    "recipes": "Recipes that come with the program: list, show and copy them, explain their keys.",
    "tissue": "Show where the tissue of slides is and how many tiles they give, without encoding.",
    "patches": "Labelled patch sets: check one, or make a manifest of one.",
    "encode": "Frozen features: ST sections, labelled patches, slides.",
    "pretrain": "Train HAGE on ST sections, leaving out each patient (or section) in turn; writes encoder directories.",
    "genes": "Gene panel, gene embeddings, and how far the one covers the other.",
    "embed": "Embed frozen features with a gene-informed encoder; files of that encoder that are there are kept.",
    "convert": "Convert feature files between layouts; rows and coords stay as they are, nothing is guessed.",
    "predict": "Predict expression of held-out sections, or of every tile of slides: AnnData files, tables and maps.",
    "probe": "Compare patch feature sources with the linear probe on the same folds and seeds.",
    "labels": "Label tables and split files: make one, or look at some before hours of training.",
    "mil": "Compare slide feature sources with AB-MIL on the same folds and seeds.",
    "compare": "Pretrain every system and control, compare all encoders on patches and slides, and rank them.",
    "apply": "Score new slides, images or patches by a trained classifier: probability, call, doubt; see `scores.csv`.",
    "heatmap": "Explain slides by the models of the fold that tested them: maps, GeoJSON for QuPath, tiles and genes.",
    "robustness": "Say whether features of slides or patches lie near others of their class, or of their centre.",
    "plan": "Hours, disk and memory of each stage of a config, from measured rates; nothing of it is run.",
    "power": "Say which gain in AUC a study of so many slides would show with power 0.8.",
    "report": "Write report.html (one file that needs no other) and report.md: the answer, then what it rests on.",
    "view": "Show the slides of a run: pan, zoom, attention, tissue and any gene's predicted expression over them.",
    "share": "Upload an encoder or classifier directory, with its card, to the Hugging Face hub; private by default.",
}
"""Names, and a line each for ``hage --help``, which loads none of them."""


class _Commands(Mapping[str, Any]):
    """The commands by name, each made when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        importlib.import_module(f"hage_transfer.cli.{name}").register(alone)
        alone.callback()(lambda: None)  # a group, of one command or one group
        return typer.main.get_group(alone).commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _LazyGroup(Group):
    """Loads the one command that is called; the list of commands needs none."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands()  # type: ignore[assignment]

    def lines(self, ctx: Any) -> list[tuple[str, str]]:
        """See ``Group``; none is loaded."""
        return list(COMMANDS.items())


app = typer.Typer(
    name="hage",
    cls=_LazyGroup,
    help="Does an encoder that has seen genes serve your slides better than the one it was built on?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # panels take as long to load as all else that --help needs
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hage-transfer {ht.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Say which version this is.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Runs the command line's words and exits."""
    # Read when torch's OpenMP is loaded: threads that wait in vain give their core away instead of spinning, without
    # which two jobs on one machine slow each other down tenfold (docs/decisions.md).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    code = run(sys.argv[1:])
    if code == EXIT_INTERRUPTED:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not break into the leaving
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Runs one command and returns its exit code: 0, 1 (some items failed), 2 (wrong input), 130 (interrupted)."""
    console, handler = printed.console(stderr=True), printed.log_handler()
    handler.addFilter(FlagFilter())
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler], force=True)
    logging.getLogger(ht.__name__).setLevel(logging.INFO)
    try:
        _refuse_names_of_no_text(arguments)
        code = app(arguments, standalone_mode=False)
    except UsageError as error:
        _show_error(console, error.format_message())
        console.print("`hage --help` and `hage COMMAND --help` list what there is")
        return EXIT_INPUT
    except HageError as error:
        _show_error(console, as_flags(str(error)))
        for note in getattr(error, "__notes__", []):
            console.print(as_flags(note), highlight=False)
        return EXIT_ITEMS_FAILED if isinstance(error, ItemsFailedError) else EXIT_INPUT
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0)
        if remedy is None:
            raise
        _show_error(console, f"{error.filename or 'the output'}: {os.strerror(error.errno or 0)}; {remedy}")
        return EXIT_INPUT
    except UnicodeEncodeError as error:
        if error.reason != _SURROGATES:
            raise
        _show_error(console, f"{_printable(error.object)}: a name that is not UTF-8; rename it")
        return EXIT_INPUT
    except RuntimeError as error:
        if not str(error).startswith(_LOOP):  # what pathlib says of it before Python 3.13
            raise
        _show_error(console, f"{error}; {_ELSEWHERE}")
        return EXIT_INPUT
    except (KeyboardInterrupt, typer.Abort):
        code = EXIT_INTERRUPTED
    if code == EXIT_INTERRUPTED:  # from typer 0.29 on a return value: no exception leaves it
        console.print(how_to_go_on(arguments), highlight=False)
    return code if isinstance(code, int) else 0


def _refuse_names_of_no_text(arguments: list[str]) -> None:
    for argument in arguments:
        if not argument.isascii():
            argument.encode("utf-8")  # as UnicodeEncodeError, which is one message


def _show_error(console: Console, message: str) -> None:
    console.print(f"error: {_printable(message)}", style="bold red", highlight=False)


def _printable(text: str) -> str:
    """Text that any terminal takes, and no more of it than is read."""
    shown = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
    return printable(shown)
