"""`apply`: what was trained, on new patients."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from hage_transfer.apply.operating_point import OperatingPoint
from hage_transfer.apply.scores import Scores
from hage_transfer.data.feature_layouts import Given
from hage_transfer.door.encoders import Encoder, encoder_of
from hage_transfer.door.given import PathLike, Table, path_of
from hage_transfer.door.refused import refuse_absent, refuse_device
from hage_transfer.door.tables import given_table
from hage_transfer.errors import ConfigError
from hage_transfer.models.checkpoint import refuse_no_repository
from hage_transfer.running.job import Engine
from hage_transfer.running.progress import Progress, open_run, shown

if TYPE_CHECKING:
    from hage_transfer.apply.classifier import Classifier


def apply(
    classifier: PathLike,
    given: PathLike,
    *,
    labels: Table | None = None,
    source: str | None = None,
    out: PathLike | None = None,
    operating_point: str | Mapping[str, float] = "youden",
    abstain: float | None = None,
    subgroups: str | Sequence[str] = (),
    against: PathLike | Sequence[PathLike] = (),
    final: bool = False,
    model: Callable[..., Any] | None = None,
    encoder: Encoder | None = None,
    weights: PathLike | None = None,
    slide_mpp_um_per_px: float | None = None,
    encoder_name: str | None = None,
    encoder_sha256: str | None = None,
    mpp_um_per_px: float | None = None,
    licence_allows: bool = False,
    device: str = "auto",
    jobs: int = 1,
    engine: Engine = "processes",
    address: str | None = None,
    shard: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Scores:
    """Scores new slides, images or patches by a trained classifier, with its own recipe of reading them.

    Writes ``scores.csv``: probability (mean over models), spread over models, call, calibrated probability, doubt,
    abstention. Run again, it goes on where it was.

    Args:
        classifier: classifier directory, run of ``mil`` or ``probe``, or ``organisation/name`` on the hub.
        given: slides (a folder or one file), images or patches, or their features in any layout.
        labels: `slide[,label][,group][,mpp]`, a csv or its rows. True labels make it an external validation
            (``results.json``, ``report.html``); ``mpp`` says a slide's level-0 resolution.
        source: feature source of a run that has several.
        out: folder to write to; None: ``runs/apply-<source>-<what was given>``.
        operating_point: of the call, by out-of-fold scores: ``youden``, ``sensitivity=0.9``, ``specificity=0.9``,
            ``cost=5`` (a missed positive counts five false alarms), ``threshold=0.3``; or a mapping of one of these.
        abstain: share of training units that would be left to a person; new ones no surer than these are.
        subgroups: columns of ``labels`` whose values are validated each by itself.
        against: other applications on the same slides, which the classifier is compared with in pairs.
        final: by the models that were trained on all patients (``train.final``), in place of the folds'.
        model: the class of a bag classifier of your own.
        encoder: the frozen encoder as an object, where it was one.
        weights: local file of the frozen encoder's weights.
        slide_mpp_um_per_px: level-0 resolution of slides that record none.
        encoder_name: frozen encoder of feature files that do not record it.
        encoder_sha256: hash of its weights, likewise.
        mpp_um_per_px: resolution of their tiles, likewise.
        licence_allows: you may use it though the frozen encoder's licence forbids derivatives or is not known.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``.
        jobs: at a time.
        engine: where they run.
        address: of a Ray cluster.
        shard: ``i/n``: this call's part of the slides.
        overwrite: delete what an earlier call left there first.
        progress: called with (done, total, name) as slides end.

    Raises:
        InputError: a classifier, input, features or options that do not fit; the message says which.
        SharingError: the licence is not known or forbids derivatives.
        ItemsFailedError: some slides failed; they are in ``failures.csv``, ``done`` of the error has the scores of the
            rest.
    """
    point = OperatingPoint.of(operating_point)
    refuse_device(device)
    refuse_absent("slides, images or features", given)
    refuse_absent("labels", None if isinstance(labels, pd.DataFrame) else labels)
    refuse_absent("weights", weights)
    if not Path(classifier).is_dir():
        refuse_no_repository(os.fspath(classifier), what="classifier", maker="mil")
    with shown("apply", progress) as tell:
        from hage_transfer.door.load_classifier import load_classifier

        chosen = load_classifier(classifier, source=source, model=model)
        from hage_transfer.apply.checks import check_terms  # torch: what is wrong so far was refused without it
        from hage_transfer.apply.classifier import what_of
        from hage_transfer.apply.inputs import How
        from hage_transfer.apply.run import Wanted, application_config, apply_classifier, default_out
        from hage_transfer.apply.valued_cohort import has_truth
        from hage_transfer.encode.bags import Workers
        from hage_transfer.running.devices import resolve_device

        check_terms(chosen, allowed=licence_allows)
        _check_final(chosen, final=final)
        place = Path(given)
        folder = path_of(out) or default_out(chosen, place)
        table = given_table(labels, folder, "labels")
        how = How(
            device=resolve_device(device),
            workers=Workers(shard=shard, jobs=jobs, engine=engine, address=address),
            own=encoder_of(encoder)[1],
            weights=path_of(weights),
            given=Given(encoder=encoder_name, encoder_sha256=encoder_sha256, mpp_um_per_px=mpp_um_per_px),
            slide_mpp_um_per_px=slide_mpp_um_per_px,
            table=table.path,
            final=final,
            overwrite=overwrite,
        )
        config = application_config(chosen, place, folder)
        with open_run(folder, config, overwrite=overwrite, alone=shard is None) as run:
            table.write()
            wanted = Wanted(
                point,
                abstain,
                labels=table.path if table.path is not None and has_truth(table.path, chosen.facts) else None,
                subgroups=(subgroups,) if isinstance(subgroups, str) else tuple(subgroups),
                against=tuple(Path(one) for one in ([against] if isinstance(against, str | os.PathLike) else against)),
            )
            if (wanted.subgroups or wanted.against) and wanted.labels is None:
                wanted_columns = "a column label" if chosen.target is None else what_of(chosen.facts)
                raise ConfigError(f"subgroups= and against= speak of true labels; give labels= with {wanted_columns}")
            return apply_classifier(chosen, place, out=run, how=how, wanted=wanted, progress=tell)


def _check_final(chosen: "Classifier", *, final: bool) -> None:
    if final and not chosen.facts["final"]:
        raise ConfigError(
            f"{chosen.folder}: has no model of all patients; train with train.final=true, or leave final out"
        )
