"""The compared systems by name, in the order of the paper's Table 1, then the references, then later systems."""

from collections.abc import Mapping
from types import MappingProxyType

from hage_transfer.errors import ConfigError
from hage_transfer.extensions import load_extension
from hage_transfer.pretrain.config import OWN_PREFIX
from hage_transfer.pretrain.methods import bleep, knn, mclstexp, neighbourhood_heads, pca_ridge, section_heads, stnet
from hage_transfer.pretrain.methods.base import Method
from hage_transfer.pretrain.methods.images import on_pixels
from hage_transfer.pretrain.methods.own import given_method

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        stnet.METHOD,
        *section_heads.METHODS,
        bleep.METHOD,
        mclstexp.METHOD,
        pca_ridge.METHOD,
        knn.METHOD,
        *neighbourhood_heads.METHODS,
        on_pixels(stnet.METHOD, learning_rate=1e-5, reference="image network trained"),
        on_pixels(section_heads.METHODS[0], learning_rate=1e-4, reference="linear embedding of the pixels"),
        on_pixels(bleep.METHOD, learning_rate=1e-3, reference="image network trained"),
        on_pixels(mclstexp.METHOD, learning_rate=1e-4, reference="image network trained"),
    )
}


def method_of(name: str, own: Mapping[str, Method] = MappingProxyType({})) -> Method:
    """One of these, of an installed distribution, or of the user's own.

    Args:
        name: as the config says it.
        own: objects that were given, by their names there.

    Raises:
        ConfigError: an installed one that is no ``Method``, or has another name; one of the user's that was not given.
    """
    if name in METHODS:
        return METHODS[name]
    if name.startswith(OWN_PREFIX):
        return given_method(name, own)
    found = load_extension("pretraining", name)
    if not isinstance(found, Method) or found.name != name:
        raise ConfigError(f"methods: the entry point {name} gives {found!r:.80}, wanted a Method of this name")
    return found
