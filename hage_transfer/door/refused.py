"""What is refused before torch and its like are loaded: paths and names that nothing stands behind."""

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hage_transfer.config import EncoderSettings, FeatureSetSettings, PatchSetSettings, SectionsSettings, Settings
from hage_transfer.encoders.specs import check_known, is_onnx_file
from hage_transfer.errors import ConfigError, DataError
from hage_transfer.running.progress import PACKAGE

_FILE = (Path.exists, "no such file")
_IMAGES: Mapping[str, tuple[Callable[[Path], bool], str]] = {
    "data.root": (Path.exists, "no such file or folder"),
    "data.manifest": (Path.exists, "no such manifest"),
    "encoder.weights": _FILE,
    "encoder.adapter": (Path.is_dir, "no such adapter directory"),
}
_TABLE: Mapping[str, tuple[Callable[[Path], bool], str]] = {"data.labels": (Path.exists, "no such label table")}
_OTHERS: Mapping[str, tuple[Callable[[Path], bool], str]] = {
    "genes.embeddings": (Path.exists, "no such file of gene embeddings"),
    "genes.names": (Path.exists, "no such table of gene names"),
    "genes.panel": (Path.exists, "no such panel file"),
    "split.files": (Path.is_dir, "no such folder of split files (splits_<i>.csv)"),
    "split.parts": (Path.exists, "no such split file"),
    "target.table": (Path.exists, "no such table of values"),
}
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def refuse_settings(
    settings: Settings,
    *,
    device: str = "auto",
    images: bool = True,
    trains: bool = True,
    own: object = None,
    made: Path | None = None,
) -> None:
    """Refuses a config whose paths and names are of nothing, all at once.

    Args:
        settings: of any task.
        device: to be run on.
        images: whether the config's own images (or features) are read, and by its encoder.
        trains: whether genes, splits and targets are read, too.
        own: an encoder of the caller's, in place of the config's.
        made: a file of the config that the call itself will write.

    Raises:
        DataError: files or folders that are not there.
        WeightsError: an encoder that nobody knows.
        ConfigError: a word that is no device.
    """
    refuse_device(device)
    wanted = {**(_IMAGES if images else {}), **_TABLE, **(_OTHERS if trains else {})}
    named = {key: _value(settings, key) for key in wanted}
    paths = {key: path for key, path in named.items() if isinstance(path, Path) and path != made}
    absent = {key: path for key, path in paths.items() if not wanted[key][0](path)}
    encoder = getattr(settings, "encoder", None)
    if images and own is None and isinstance(encoder, EncoderSettings):
        check_known(encoder.name)
        if is_onnx_file(encoder.name) and not Path(encoder.name).is_file():
            absent["encoder.name"] = Path(encoder.name)
    if absent:
        said = [f"{key} = {path}: {wanted.get(key, _FILE)[1]}" for key, path in absent.items()]
        raise DataError(f"{'; '.join(said)}; set {' '.join(f'{key}=...' for key in absent)}")
    if images:
        with _unlogged():
            _refuse_empty(settings, made)


@contextmanager
def _unlogged() -> Iterator[None]:
    """What a set has to say of itself is said when it is read."""
    logger = logging.getLogger(PACKAGE)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _refuse_empty(settings: Settings, made: Path | None) -> None:
    """Refuses a set of which nothing is found; where features are there already, it was found once."""
    data, features = getattr(settings, "data", None), getattr(settings, "features", None)
    if not isinstance(features, Path) or any(features.glob("*.h5")):
        return
    if isinstance(data, PatchSetSettings) and (made is None or data.manifest != made):
        from hage_transfer.data.patches import refuse_no_images  # numpy

        refuse_no_images(data)
    elif isinstance(data, FeatureSetSettings):
        from hage_transfer.data.feature_layouts import find_feature_files

        find_feature_files(data.root)
    elif isinstance(data, SectionsSettings):
        from hage_transfer.data.sections import section_names  # anndata

        section_names(data)


def refuse_absent(what: str, path: str | os.PathLike[str] | None) -> None:
    """Refuses an argument of a call that is a path of nothing.

    Raises:
        DataError: it is not there.
    """
    if path is not None and not Path(path).exists():
        raise DataError(f"{os.fspath(path)}: no such file or folder; wanted {what}")


def refuse_device(device: str) -> None:
    """Refuses a word that is no device on any machine.

    Raises:
        ConfigError: it is none.
    """
    if not _DEVICE.fullmatch(device):
        raise ConfigError(f"device={device}: no device; wanted cpu, cuda, cuda:1, mps or auto")


def _value(settings: Settings, key: str) -> object:
    found: object = settings
    for name in key.split("."):
        found = getattr(found, name, None)
    return found
