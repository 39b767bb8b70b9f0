"""Frozen encoders by name: the embedded default, pathology foundation models, and ``timm:<model>``."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hage_transfer.config import EncoderSettings
from hage_transfer.encoders import embedded, hub_models, onnx_file, timm_any, timm_models
from hage_transfer.encoders.base import EncoderSpec, FrozenEncoder
from hage_transfer.encoders.own import OwnEncoder
from hage_transfer.encoders.weights import WeightsFile, cached_weights
from hage_transfer.errors import ConfigError, WeightsError, nearest
from hage_transfer.extensions import installed, load_extension
from hage_transfer.running.devices import resolve_device

TIMM_PREFIX = "timm:"


@dataclass(frozen=True)
class Entry:
    """What the registry says of an encoder without loading it."""

    name: str
    licence: str
    width: int
    home: str
    at_hand: bool


def encoder_names() -> list[str]:
    """Names of the registry; ``timm:<model>`` and ``hf-hub:<owner>/<model>`` besides."""
    return [embedded.NAME, *timm_models.SPECS, *hub_models.MODELS]


def _is_installed(name: str) -> bool:
    """Whether a distribution gives it; a name of this registry is never another's."""
    return name not in encoder_names() and name in installed("encoders")


@lru_cache
def _installed_encoder(name: str) -> OwnEncoder:
    made = load_extension("encoders", name)
    return OwnEncoder(made() if isinstance(made, type) else made)


def entries() -> list[Entry]:
    """All named encoders and whether their weights are on this machine; never asks the network."""
    first = Entry(embedded.NAME, embedded.LICENCE, embedded.WIDTH, "installed with this program", _embedded_at_hand())
    named: list[EncoderSpec | hub_models.HubModel] = [*timm_models.SPECS.values(), *hub_models.MODELS.values()]
    others = [
        Entry(one.name, one.licence, one.width, f"hub {one.hub}{_gated(one)}", cached_weights(one.hub) is not None)
        for one in named
    ]
    ours = encoder_names()
    theirs = [
        Entry(name, "its own", 0, "an installed entry point", True)
        for name in installed("encoders")
        if name not in ours
    ]
    return [first, *others, *theirs]


def check_name(name: str) -> None:
    """Refuses a name that the registry does not have.

    Raises:
        WeightsError: unknown; the nearest name and all names are given.
    """
    if onnx_file.is_onnx_file(name):
        return
    if name.startswith(TIMM_PREFIX):
        timm_any.check_model(name.removeprefix(TIMM_PREFIX))
    elif name in hub_models.CANNOT:
        raise WeightsError(
            f"encoder.name = {name}: {hub_models.CANNOT[name]}, not by timm or transformers alone; load it so yourself "
            "and give it as a Python object (encoder=...), or install an entry point of it"
        )
    elif hub_models.model_of(name) is None and name not in encoder_names() and not _is_installed(name):
        (near,) = nearest(name, encoder_names())
        raise WeightsError(
            f"encoder.name = {name}: unknown encoder; nearest: {near}; all: {', '.join(encoder_names())}, "
            "timm:<model>, hf-hub:<owner>/<model>, <file>.onnx"
        )


def find_weights(settings: EncoderSettings) -> WeightsFile:
    """The weights file of an encoder and its hash, without building the network.

    Raises:
        WeightsError: unknown name, or weights that cannot be had; the message says how to get them.
    """
    check_name(settings.name)
    if onnx_file.is_onnx_file(settings.name):
        return onnx_file.find_weights(settings)
    if settings.transform is not None:
        raise ConfigError(f"encoder.transform is for ONNX files, and encoder.name is {settings.name}; leave it out")
    if _is_installed(settings.name):
        return WeightsFile(Path(settings.name), _installed_encoder(settings.name).sha256)
    if settings.name.startswith(TIMM_PREFIX):
        return timm_any.find_weights(settings.name.removeprefix(TIMM_PREFIX), settings.weights)
    if settings.name == embedded.NAME:
        return embedded.find_weights(settings.weights)
    if (model := hub_models.model_of(settings.name)) is not None:
        return hub_models.find_weights(model, settings.weights)
    return timm_models.find_weights(timm_models.SPECS[settings.name], settings.weights)


def load_encoder(settings: EncoderSettings, *, device: str) -> FrozenEncoder:
    """Loads an encoder, ready to be called.

    Args:
        settings: name, weights, precision.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps`` or ``auto``.

    Raises:
        WeightsError: unknown name; weights that cannot be had or do not fit the architecture.
        ConfigError: no such device on this machine.
    """
    where = resolve_device(device)
    weights = find_weights(settings)
    if _is_installed(settings.name):
        return _installed_encoder(settings.name).on(where)
    if onnx_file.is_onnx_file(settings.name):
        return onnx_file.load(settings, weights, device=where)
    if runtime_of(settings, device=where) == "onnx":
        return _by_onnx(settings, weights, where)
    if settings.name.startswith(TIMM_PREFIX):
        model = settings.name.removeprefix(TIMM_PREFIX)
        return timm_any.load(model, weights, device=where, precision=settings.precision)
    if settings.name == embedded.NAME:
        return embedded.load(weights, device=where, precision=settings.precision)
    if (hub := hub_models.model_of(settings.name)) is not None:
        return hub_models.load(hub, weights, device=where, precision=settings.precision)
    return timm_models.load(
        timm_models.SPECS[settings.name],
        weights,
        device=where,
        precision=settings.precision,
    )


def runtime_of(settings: EncoderSettings, *, device: str) -> str:
    """``onnx`` or ``torch``: what runs an encoder where the config leaves it open."""
    if settings.runtime != "auto":
        return settings.runtime
    if settings.name != embedded.NAME or device != "cpu" or settings.precision != "float32":
        return "torch"
    from hage_transfer.encoders import embedded_onnx

    return "onnx" if embedded_onnx.is_installed() else "torch"


def _by_onnx(settings: EncoderSettings, weights: WeightsFile, device: str) -> FrozenEncoder:
    if settings.name != embedded.NAME:
        raise ConfigError(f"encoder.runtime onnx is for encoder {embedded.NAME}, not {settings.name}; leave it out")
    from hage_transfer.encoders import embedded_onnx

    return embedded_onnx.load(weights, device=device, precision=settings.precision)


def _embedded_at_hand() -> bool:
    try:
        embedded.find_weights(None)
    except WeightsError:
        return False
    return True


def _gated(one: EncoderSpec | hub_models.HubModel) -> str:
    """Every one of timm's specs is."""
    return "" if isinstance(one, hub_models.HubModel) and not one.is_gated else " (gated: ask for access)"
