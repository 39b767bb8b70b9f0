"""hage-transfer: gene-informed pathology encoders, trained on spatial transcriptomics and compared downstream.

``import hage_transfer`` loads neither torch nor scanpy; the names below are loaded when first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from hage_transfer.compare.results import Results, read_results
    from hage_transfer.data.feature_file import read_features
    from hage_transfer.models.expression_model import ExpressionModel
    from hage_transfer.models.gene_informed import GeneInformedEncoder

__all__ = ["ExpressionModel", "GeneInformedEncoder", "Results", "__version__", "read_features", "read_results"]

_HOMES = {
    "ExpressionModel": "hage_transfer.models.expression_model",
    "GeneInformedEncoder": "hage_transfer.models.gene_informed",
    "Results": "hage_transfer.compare.results",
    "read_features": "hage_transfer.data.feature_file",
    "read_results": "hage_transfer.compare.results",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("hage-transfer")
    if name not in _HOMES:
        raise AttributeError(f"module 'hage_transfer' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
