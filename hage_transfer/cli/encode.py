"""`hage encode st|patches|slides`: frozen features of ST sections, labelled patches, slides and images as bags."""

from typing import Annotated, Literal

import typer

import hage_transfer as ht
from hage_transfer.cli import options
from hage_transfer.cli.groups import Group

OtherLayout = Annotated[
    Literal["clam", "trident"] | None,
    typer.Option("--layout", help="Write features/<slide>.h5 and also this tool's folders, in <features>/<layout>/."),
]
Magnification = Annotated[
    float | None,
    typer.Option(help="--layout trident: magnification of the tiles; else 10 / data.mpp_um_per_px.", min=1e-6),
]

DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Encode nothing: list sections, spots, um/px and its source; draw spots of three on the image.",
    ),
]

encode_app = typer.Typer(
    name="encode", cls=Group, help="Frozen features: ST sections, labelled patches, slides.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
    app.add_typer(encode_app)


@encode_app.command("st")
def st_command(
    config: options.Config,
    encoder: options.Encoder = None,
    changes: options.Set = None,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
    dry_run: DryRun = False,
) -> None:
    """Patch features of ST sections: one file per section, a row per spot (config of `hage pretrain`)."""
    from hage_transfer.cli.section_check import show_check
    from hage_transfer.door.recipes import resolve_config
    from hage_transfer.pretrain.config import PretrainConfig

    if dry_run:
        show_check(resolve_config(PretrainConfig, config, changes or ()))
    else:
        ht.encode_sections(config=config, encoder=encoder, changes=changes, device=device, overwrite=overwrite)


@encode_app.command("patches")
def patches_command(
    config: options.Config,
    encoder: options.Encoder = None,
    changes: options.Set = None,
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Features of labelled patches: features.h5 and labels.csv (config of `hage probe`)."""
    ht.encode_patches(config=config, encoder=encoder, changes=changes, device=device, overwrite=overwrite)


@encode_app.command("slides")
def slides_command(
    config: options.Config,
    encoder: options.Encoder = None,
    changes: options.Set = None,
    device: options.Device = "auto",
    mpp: options.Mpp = None,
    shard: options.Shard = None,
    jobs: options.Jobs = 1,
    engine: options.Engine = "processes",
    address: options.Address = None,
    layout: OtherLayout = None,
    magnification: Magnification = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Features of slides, or of images as bags: features/<slide>.h5, status.csv, labels.csv (config of `hage mil`).

    Any number of workers may be started on one list; each takes what is free, and what a killed one held.
    """
    ht.encode_slides(
        config=config,
        encoder=encoder,
        changes=changes,
        slide_mpp_um_per_px=mpp,
        device=device,
        jobs=jobs,
        engine=engine,
        address=address,
        shard=shard,
        layout=layout,
        magnification=magnification,
        overwrite=overwrite,
    )
