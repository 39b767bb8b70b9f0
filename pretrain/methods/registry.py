"""The compared systems by name, in the order of the paper's Table 1, then the references."""

from hage_transfer.errors import ConfigError
from hage_transfer.extensions import load_extension
from hage_transfer.pretrain.methods import bleep, knn, mclstexp, pca_ridge, section_heads, stnet
from hage_transfer.pretrain.methods.base import Method

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        stnet.METHOD,
        *section_heads.METHODS,
        bleep.METHOD,
        mclstexp.METHOD,
        pca_ridge.METHOD,
        knn.METHOD,
    )
}


def method_of(name: str) -> Method:
    """One of these, or of an installed distribution.

    Raises:
        ConfigError: an installed one that is no ``Method``, or has another name.
    """
    if name in METHODS:
        return METHODS[name]
    found = load_extension("pretraining", name)
    if not isinstance(found, Method) or found.name != name:
        raise ConfigError(f"methods: the entry point {name} gives {found!r:.80}, wanted a Method of this name")
    return found
