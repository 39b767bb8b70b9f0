"""`hage convert`: feature files between this project's form, CLAM's, TRIDENT's and plain tensors."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from hage_transfer.data.feature_layouts import Given, TridentGrid

log = logging.getLogger(__name__)

Features = Annotated[
    Path, typer.Argument(metavar="FEATURES", help="A feature file, or a folder of them, of any of the layouts.")
]
To = Annotated[Literal["hage", "clam", "trident", "pt"], typer.Option(help="The layout to write.")]
Folder = Annotated[Path, typer.Option(help="Folder to write to.")]
Coords = Annotated[
    Path | None,
    typer.Option(help="File or folder of coords (CLAM, TRIDENT: patches), for files that hold none or no patch size."),
]
Name = Annotated[str | None, typer.Option("--encoder-name", help="Frozen encoder, by this project's name (uni, ...).")]
Hash = Annotated[str | None, typer.Option("--encoder-sha256", help="Hash of the encoder's weights.")]
Licence = Annotated[str | None, typer.Option(help="Licence of the encoder's weights.")]
Precision = Annotated[str | None, typer.Option(help="Arithmetic of the encoder: float32, float16, bfloat16.")]
Mpp = Annotated[float | None, typer.Option("--mpp", help="um per px that the encoder saw.", min=1e-6)]
Size = Annotated[
    int | None, typer.Option("--patch-size", help="Side of a tile as the encoder was given it, px.", min=1)
]
Size0 = Annotated[int | None, typer.Option("--patch-size-level0", help="Side of a tile at level 0, px.", min=1)]
Magnification = Annotated[float | None, typer.Option(help="trident: magnification of the tiles.", min=1e-6)]
Level0 = Annotated[
    float | None,
    typer.Option("--level0-magnification", help="trident: of level 0; else from the two patch sizes.", min=1e-6),
]
Overlap = Annotated[int | None, typer.Option(help="trident: overlap of neighbouring tiles, px.", min=0)]


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
    app.command("convert")(convert)


def convert(
    features: Features,
    to: To,
    out: Folder,
    coords: Coords = None,
    encoder_name: Name = None,
    encoder_sha256: Hash = None,
    licence: Licence = None,
    precision: Precision = None,
    mpp: Mpp = None,
    patch_size: Size = None,
    patch_size_level0: Size0 = None,
    magnification: Magnification = None,
    level0_magnification: Level0 = None,
    overlap: Overlap = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that hold something else.")] = False,
) -> None:
    """Convert feature files between layouts; rows and coords stay as they are, nothing is guessed.

    What a file does not record and no option says is written as unknown. Run again, it does what is left.
    """
    from rich.console import Console

    from hage_transfer.data.feature_layouts import Given, TridentGrid

    given = Given(
        encoder=encoder_name,
        encoder_sha256=encoder_sha256,
        encoder_licence=licence,
        precision=precision,
        mpp_um_per_px=mpp,
        patch_size_px=patch_size,
        patch_size_level0_px=patch_size_level0,
    )
    grid = TridentGrid(target_magnification=magnification, overlap=overlap, level0_magnification=level0_magnification)
    written, total = convert_path(features, to=to, out=out, given=given, grid=grid, coords=coords, overwrite=overwrite)
    Console().print(f"{out}: {written} of {total} slides written as {to}", markup=False, soft_wrap=True)


def convert_path(
    features: Path,
    *,
    to: str,
    out: Path,
    given: "Given",
    grid: "TridentGrid",
    coords: Path | None = None,
    overwrite: bool = False,
) -> tuple[int, int]:
    """Converts a feature file, or every one of a folder, into the folder ``out``.

    Returns:
        How many slides were written (others were there already), and how many there are.

    Raises:
        InputError: nothing to convert, or output in the input's place; of a single file, or where no file of a folder
            can be converted, also what is wrong with it.
        ItemsFailedError: some files failed; they are in ``failures.csv``, the rest are done.
    """
    from hage_transfer.atomic import write_csv
    from hage_transfer.cli.progress import job_progress
    from hage_transfer.data.feature_layouts import find_feature_files
    from hage_transfer.errors import DataError, InputError, ItemsFailedError
    from hage_transfer.run_directory import FAILURES_FILE

    if features.resolve() == out.resolve() or (features.is_file() and features.parent.resolve() == out.resolve()):
        raise DataError(f"{out}: is where the features to convert are; give another --out")
    if out.is_file():
        raise DataError(f"{out}: is a file; --out names a folder")
    files = find_feature_files(features) if features.is_dir() else {features.stem: features}
    if coords is not None and not coords.exists():
        raise DataError(f"{coords}: no such file or folder of coords (--coords)")
    if coords is not None and coords.is_file() and len(files) > 1:
        raise DataError(f"{coords}: one file of coords for {len(files)} slides; give the folder of theirs as --coords")
    unknown: dict[str, int] = {}
    failures: dict[str, InputError] = {}
    written = 0
    with job_progress("convert") as progress:
        for done, (slide, path) in enumerate(files.items(), start=1):
            try:
                made, names = _convert_file(path, to, out, given, grid, coords, overwrite)
            except InputError as error:
                failures[slide] = error
                made, names = False, []
            written += made
            for name in names:
                unknown[name] = unknown.get(name, 0) + 1
            progress(slide, done, len(files))
    _say_unknown(unknown)
    if len(failures) == len(files):
        first = next(iter(failures.values()))
        if len(files) > 1:
            first.add_note(f"none of {len(files)} files could be converted; this is the first")
        raise first
    if failures:
        rows = [{"item": slide, "reason": str(error)} for slide, error in failures.items()]
        write_csv(out / FAILURES_FILE, ["item", "reason"], rows)
        raise ItemsFailedError(
            f"{len(failures)} of {len(files)} files failed, see {out / FAILURES_FILE}; the rest are done "
            f"(first: {rows[0]['reason']})"
        )
    (out / FAILURES_FILE).unlink(missing_ok=True)
    return written, len(files)


def _convert_file(
    path: Path,
    to: str,
    out: Path,
    given: "Given",
    grid: "TridentGrid",
    coords: Path | None,
    overwrite: bool,
) -> tuple[bool, list[str]]:
    """Whether the slide's files were written, and what is not known of it."""
    from hage_transfer.data.feature_layouts import layout_paths, open_features, unknown_facts, write_layout
    from hage_transfer.errors import DataError

    source = open_features(path, given=given, coords=coords)
    targets = layout_paths(source, to, out, grid=grid)
    if any(target.exists() and target.samefile(path) for target in targets):
        raise DataError(f"{path}: would be written over by itself; give another --out")
    made = write_layout(source, to, out, grid=grid, overwrite=overwrite)
    return bool(made), [] if to == "pt" else unknown_facts(source.meta)


def _say_unknown(unknown: Mapping[str, int]) -> None:
    from hage_transfer.data.feature_layouts import OPTIONS

    if unknown:
        facts: list[Any] = [f"{name} ({count} slides; {OPTIONS[name]})" for name, count in unknown.items()]
        log.warning("written as unknown, since no file records it and no option says it: %s", ", ".join(facts))
