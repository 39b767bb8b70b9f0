"""A frozen encoder as a caller gives it: by name, by the keys of a config, or an object of the caller's own."""

import os
from collections.abc import Mapping
from typing import Any

from hage_transfer.door.given import PathLike
from hage_transfer.encoders.base import FrozenEncoder

Encoder = PathLike | Mapping[str, Any] | FrozenEncoder
"""A name of the registry, ``timm:<model>``, ``hf-hub:<model>`` or an ONNX file; keys of a config's ``encoder``; or an
object."""


def encoder_of(encoder: Encoder | None) -> tuple[dict[str, Any], FrozenEncoder | None]:
    """The changes of a config that an encoder means, and the object where it is one.

    Raises:
        WeightsError: an object that is no encoder.
    """
    if encoder is None:
        return {}, None
    if isinstance(encoder, str | os.PathLike):
        return {"encoder": {"name": os.fspath(encoder)}}, None
    if isinstance(encoder, Mapping):
        return {"encoder": encoder}, None
    from hage_transfer.encoders.own import as_frozen  # torch

    own = as_frozen(encoder)
    return {"encoder": {"name": own.name}}, own
