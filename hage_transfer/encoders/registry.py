"""Frozen encoders by name: the embedded default, pathology foundation models, and ``timm:<model>``.

timm brings torchvision and torch's compiler with it, seconds that work on features alone should not wait: what needs it
is imported where an encoder is asked for.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hage_transfer.config import EncoderSettings
from hage_transfer.encoders import onnx_file
from hage_transfer.encoders.adapter import adapted, find_adapter
from hage_transfer.encoders.base import FrozenEncoder
from hage_transfer.encoders.own import OwnEncoder
from hage_transfer.encoders.specs import (
    EMBEDDED,
    SPECS,
    TIMM_PREFIX,
    EncoderSpec,
    check_known,
    encoder_names,
    is_onnx_file,
    spec_of,
)
from hage_transfer.encoders.weights import WeightsFile, cached_weights, hub_weights, local_weights
from hage_transfer.errors import ConfigError, WeightsError
from hage_transfer.extensions import installed, load_extension
from hage_transfer.running.devices import resolve_device
from hage_transfer.running.precision import check_precision


@dataclass(frozen=True)
class Entry:
    """What the registry says of an encoder without loading it."""

    name: str
    licence: str
    width: int
    home: str
    at_hand: bool


@lru_cache
def _installed_encoder(name: str) -> OwnEncoder:
    made = load_extension("encoders", name)
    return OwnEncoder(made() if isinstance(made, type) else made)


def entries() -> list[Entry]:
    """All named encoders and whether their weights are on this machine; never asks the network."""
    from hage_transfer.encoders import embedded

    first = Entry(embedded.NAME, embedded.LICENCE, embedded.WIDTH, "installed with this program", _embedded_at_hand())
    others = [
        Entry(
            one.name,
            one.licence,
            one.width,
            f"hub {one.hub}{' (gated: ask for access)' if one.is_gated else ''}",
            cached_weights(one.hub) is not None,
        )
        for one in SPECS.values()
    ]
    theirs = [
        Entry(name, "its own", 0, "an installed entry point", True)
        for name in installed("encoders")
        if name not in encoder_names()
    ]
    return [first, *others, *theirs]


def check_name(name: str) -> None:
    """Refuses a name that the registry does not have.

    Raises:
        WeightsError: unknown; the nearest name and all names are given.
    """
    check_known(name)
    if name.startswith(TIMM_PREFIX):
        from hage_transfer.encoders import hub_models

        hub_models.check_timm(name.removeprefix(TIMM_PREFIX))


def find_weights(settings: EncoderSettings) -> WeightsFile:
    """The weights file of an encoder and its hash, without building the network.

    Raises:
        WeightsError: unknown name, or weights that cannot be had; the message says how to get them.
        DataError: an adapter that is not there, damaged, or of other weights.
    """
    from hage_transfer.encoders import embedded

    check_name(settings.name)
    if settings.adapter is not None:
        base = find_weights(_unadapted(settings))
        return WeightsFile(base.path, find_adapter(settings.adapter).adapted_sha256(base.sha256))
    if is_onnx_file(settings.name):
        return onnx_file.find_weights(settings)
    if settings.transform is not None:
        raise ConfigError(f"encoder.transform is for ONNX files, and encoder.name is {settings.name}; leave it out")
    spec = spec_of(settings.name)
    if spec is not None:
        return _weights_of(spec, settings.weights)
    if settings.name == EMBEDDED:
        return embedded.find_weights(settings.weights)
    return WeightsFile(Path(settings.name), _installed_encoder(settings.name).sha256)


def _weights_of(spec: EncoderSpec, weights: Path | None) -> WeightsFile:
    if weights is not None:
        return local_weights(weights)
    repository: str | None = spec.hub
    if spec.name.startswith(TIMM_PREFIX):
        from timm.models import get_pretrained_cfg

        repository = repository or getattr(get_pretrained_cfg(str(spec.architecture)), "hf_hub_id", None)
    if not repository:
        raise WeightsError(
            f"encoder {spec.name}: timm names no hub repository of its weights; set encoder.weights=/path/to/file"
        )
    return hub_weights(spec.name, repository)


def load_encoder(settings: EncoderSettings, *, device: str) -> FrozenEncoder:
    """Loads an encoder, ready to be called.

    Args:
        settings: name, weights, precision.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps`` or ``auto``.

    Raises:
        WeightsError: unknown name; weights that cannot be had or do not fit the architecture.
        ConfigError: no such device on this machine, or precision on it; an adapter of an encoder without such layers.
        DataError: as ``find_weights``.
    """
    from hage_transfer.encoders import embedded, hub_models

    where = resolve_device(device)
    check_precision(settings.precision, where, key="encoder.precision")
    if settings.adapter is not None:
        return adapted(load_encoder(_unadapted(settings), device=where), find_adapter(settings.adapter))
    weights, spec = find_weights(settings), spec_of(settings.name)
    if is_onnx_file(settings.name):
        return onnx_file.load(settings, weights, device=where)
    if spec is None and settings.name != EMBEDDED:
        return _installed_encoder(settings.name).on(where)
    if runtime_of(settings, device=where) == "onnx":
        return _by_onnx(settings, weights, where)
    if spec is not None:
        return hub_models.load(spec, weights, device=where, precision=settings.precision)
    return embedded.load(weights, device=where, precision=settings.precision)


def runtime_of(settings: EncoderSettings, *, device: str) -> str:
    """``onnx`` or ``torch``: what runs an encoder where the config leaves it open."""
    if settings.adapter is not None:
        return "torch"
    if settings.runtime != "auto":
        return settings.runtime
    if settings.name != EMBEDDED or device != "cpu" or settings.precision != "float32":
        return "torch"
    from hage_transfer.encoders import embedded_onnx

    return "onnx" if embedded_onnx.is_installed() else "torch"


def _unadapted(settings: EncoderSettings) -> EncoderSettings:
    return settings.model_copy(update={"adapter": None, "runtime": "torch"})


def _by_onnx(settings: EncoderSettings, weights: WeightsFile, device: str) -> FrozenEncoder:
    if settings.name != EMBEDDED:
        raise ConfigError(f"encoder.runtime onnx is for encoder {EMBEDDED}, not {settings.name}; leave it out")
    from hage_transfer.encoders import embedded_onnx

    return embedded_onnx.load(weights, device=device, precision=settings.precision)


def _embedded_at_hand() -> bool:
    from hage_transfer.encoders import embedded

    try:
        embedded.find_weights(None)
    except WeightsError:
        return False
    return True
