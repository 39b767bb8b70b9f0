"""`predict`: expression of sections, or of every tile of slides."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hage_transfer.config import Changes
from hage_transfer.door.given import ConfigLike, PathLike
from hage_transfer.door.recipes import resolve_config
from hage_transfer.door.refused import refuse_absent, refuse_device
from hage_transfer.encode.sources import find_encoder_directories, run_of
from hage_transfer.errors import ConfigError
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.running.progress import Progress, shown
from hage_transfer.running.run_directory import CONFIG_FILE

if TYPE_CHECKING:
    from hage_transfer.predict.items import PredictItem
    from hage_transfer.predict.predictions import Predictions


def predict(
    encoders: PathLike | Sequence[PathLike],
    *,
    out: PathLike,
    config: ConfigLike | None = None,
    changes: Changes = (),
    features: PathLike | None = None,
    slides: PathLike | None = None,
    sections: Sequence[str] = (),
    genes: Sequence[str] | None = None,
    n_maps: int = 3,
    attention: bool = True,
    regions: int | PathLike = 6,
    spot_diameter_um: float | None = None,
    allow_trained: bool = False,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> "Predictions":
    """Predicts expression of held-out ST sections, or of every tile of slides.

    Sections are those of ``config``, else those of the pretraining run that the encoders lie in. A section is predicted
    by the encoders that did not train on it; several are averaged. Run again, it does what is left.

    Args:
        encoders: a run of `pretrain` (all of its encoders), encoder directories, or a glob of several.
        out: folder to write to: ``<name>.h5ad``, tables of genes and attention, maps.
        config: of `pretrain`, whose sections are predicted.
        changes: of the config.
        features: frozen features of slides' tiles (every tile is predicted), or of the sections.
        slides: folder of the slides, to draw maps beside the H&E.
        sections: to predict; none: every one that some encoder did not train on.
        genes: to draw; None: the best-predicted few.
        n_maps: how many are drawn where ``genes`` names none.
        attention: table and maps of gene attention by region, where the encoders attend to genes.
        regions: whose attention is compared: a number (k-means on embeddings), a csv ``section,spot,region``, or the
            obs column of an AnnData section.
        spot_diameter_um: None: the layout's own.
        allow_trained: predict sections that an encoder trained on too, and say so.
        seed: of the k-means.
        device: cpu, cuda, cuda:1, mps, or auto.
        overwrite: delete what an earlier call left in ``out``.
        progress: called with (done, total, name) as each section or slide ends.

    Raises:
        InputError: encoders, features, sections, genes or ``out`` are not right; nothing is written.
        ItemsFailedError: some failed; they are in ``failures.csv``, ``done`` of the error has the rest.
    """
    given = [encoders] if isinstance(encoders, str | os.PathLike) else list(encoders)
    folders = find_encoder_directories([os.fspath(one) for one in given])
    recorded = run_of(folders[0]) / CONFIG_FILE
    if config is not None or (features is None and recorded.is_file()):
        found = resolve_config(PretrainConfig, recorded if config is None else config, changes)
        refuse_absent("the sections; set data.root=...", found.data.root)
    refuse_device(device)
    refuse_absent("features", features)
    refuse_absent("slides", slides)
    with shown("predict", progress) as tell:
        from hage_transfer.predict.run import run_predict  # torch: what is wrong so far was refused without it
        from hage_transfer.predict.tasks import PredictSettings
        from hage_transfer.running.devices import resolve_device

        settings = PredictSettings(
            genes=tuple(genes or ()),
            n_maps=n_maps,
            attention=attention,
            regions=str(regions),
            seed=seed,
            allow_trained=allow_trained,
            named=bool(sections),
        )
        items = _items(
            folders,
            config=config,
            changes=changes,
            features=None if features is None else Path(features),
            slides=None if slides is None else Path(slides),
            sections=tuple(sections),
            spot_diameter_um=spot_diameter_um,
            progress=tell,
        )
        return run_predict(
            items,
            folders,
            settings,
            out=Path(out),
            device=resolve_device(device),
            overwrite=overwrite,
            progress=tell,
        )


def _items(
    folders: Sequence[Path],
    *,
    config: ConfigLike | None,
    changes: Changes,
    features: Path | None,
    slides: Path | None,
    sections: tuple[str, ...],
    spot_diameter_um: float | None,
    progress: Progress,
) -> "list[PredictItem]":
    from hage_transfer.predict.items import are_tiles, section_items, slide_items

    if features is not None and are_tiles(features):
        if config is not None:
            raise ConfigError(
                f"{features}: tiles of slides, and a config of ST sections: give either config or features="
            )
        if sections or changes or spot_diameter_um:
            raise ConfigError(
                f"sections=, changes= and spot_diameter_um= go with ST sections, and {features} are tiles of slides"
            )
        return slide_items(features, slides)
    if slides is not None:
        raise ConfigError("slides= goes with features= of slides; sections have their images in the config's data")
    if config is None:
        recipe = run_of(folders[0]) / CONFIG_FILE
        if not recipe.is_file():
            raise ConfigError(
                f"{folders[0]}: lies in no pretraining run whose sections could be predicted; give a config (ST "
                "sections), or features= (feature files of slides)"
            )
        config = recipe
    settings = resolve_config(PretrainConfig, config, changes)
    if features is not None:
        settings = settings.model_copy(update={"features": features})
    return section_items(settings, sections, spot_diameter_um=spot_diameter_um, progress=progress)
