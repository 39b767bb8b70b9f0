"""hage-transfer: gene-informed pathology encoders, trained on spatial transcriptomics and compared downstream.

One function a stage, and the objects that they give back; ``import hage_transfer`` loads neither torch nor scanpy, each
name is loaded when it is first used. What is not in ``__all__`` may change.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from hage_transfer.compare.differences import Difference
    from hage_transfer.compare.results import Results
    from hage_transfer.door.apply import apply
    from hage_transfer.door.check_labels import check_labels
    from hage_transfer.door.check_patches import check_patches
    from hage_transfer.door.compare_systems import compare_systems
    from hage_transfer.door.convert import convert
    from hage_transfer.door.demo import demo
    from hage_transfer.door.demo_data import demo_data
    from hage_transfer.door.doctor import doctor
    from hage_transfer.door.embed import embed
    from hage_transfer.door.encode_patches import encode_patches
    from hage_transfer.door.encode_sections import encode_sections
    from hage_transfer.door.encode_slides import encode_slides
    from hage_transfer.door.explain import explain
    from hage_transfer.door.gene_coverage import gene_coverage
    from hage_transfer.door.gene_embeddings import gene_embeddings
    from hage_transfer.door.gene_panel import gene_panel
    from hage_transfer.door.has import has
    from hage_transfer.door.judge_genes import judge_genes
    from hage_transfer.door.load_classifier import load_classifier
    from hage_transfer.door.look import look
    from hage_transfer.door.make_labels import make_labels
    from hage_transfer.door.make_manifest import make_manifest
    from hage_transfer.door.mil import mil
    from hage_transfer.door.plan import plan
    from hage_transfer.door.power import power
    from hage_transfer.door.predict import predict
    from hage_transfer.door.pretrain import pretrain
    from hage_transfer.door.probe import probe
    from hage_transfer.door.read_results import read_results
    from hage_transfer.door.readers import open_slide, read_features, read_labels, read_sections
    from hage_transfer.door.recipes import copy_recipe, read_recipe, recipe_keys, recipes
    from hage_transfer.door.report import report
    from hage_transfer.door.robustness import robustness
    from hage_transfer.door.share import share
    from hage_transfer.door.tissue import tissue
    from hage_transfer.door.view import view
    from hage_transfer.errors import (
        ConfigError,
        DataError,
        HageError,
        InputError,
        ItemsFailedError,
        SharingError,
        SplitError,
        WeightsError,
    )
    from hage_transfer.models.expression_model import ExpressionModel
    from hage_transfer.models.forms import open_encoder
    from hage_transfer.models.gene_informed import GeneInformedEncoder

_HOMES = {
    "Difference": "compare.differences",
    "ExpressionModel": "models.expression_model",
    "GeneInformedEncoder": "models.gene_informed",
    "Results": "compare.results",
    "apply": "door.apply",
    "check_labels": "door.check_labels",
    "check_patches": "door.check_patches",
    "compare_systems": "door.compare_systems",
    "convert": "door.convert",
    "copy_recipe": "door.recipes",
    "demo": "door.demo",
    "demo_data": "door.demo_data",
    "doctor": "door.doctor",
    "embed": "door.embed",
    "encode_patches": "door.encode_patches",
    "encode_sections": "door.encode_sections",
    "encode_slides": "door.encode_slides",
    "explain": "door.explain",
    "gene_coverage": "door.gene_coverage",
    "gene_embeddings": "door.gene_embeddings",
    "gene_panel": "door.gene_panel",
    "has": "door.has",
    "judge_genes": "door.judge_genes",
    "load_classifier": "door.load_classifier",
    "look": "door.look",
    "make_labels": "door.make_labels",
    "make_manifest": "door.make_manifest",
    "mil": "door.mil",
    "open_encoder": "models.forms",
    "open_slide": "door.readers",
    "plan": "door.plan",
    "power": "door.power",
    "predict": "door.predict",
    "pretrain": "door.pretrain",
    "probe": "door.probe",
    "read_features": "door.readers",
    "read_labels": "door.readers",
    "read_recipe": "door.recipes",
    "read_results": "door.read_results",
    "read_sections": "door.readers",
    "recipe_keys": "door.recipes",
    "recipes": "door.recipes",
    "report": "door.report",
    "robustness": "door.robustness",
    "share": "door.share",
    "tissue": "door.tissue",
    "view": "door.view",
    **dict.fromkeys(
        (
            "ConfigError",
            "DataError",
            "HageError",
            "InputError",
            "ItemsFailedError",
            "SharingError",
            "SplitError",
            "WeightsError",
        ),
        "errors",
    ),
}
"""Public names, and the modules below this one that they are in."""

__all__ = [
    "ConfigError",
    "DataError",
    "Difference",
    "ExpressionModel",
    "GeneInformedEncoder",
    "HageError",
    "InputError",
    "ItemsFailedError",
    "Results",
    "SharingError",
    "SplitError",
    "WeightsError",
    "__version__",
    "apply",
    "check_labels",
    "check_patches",
    "compare_systems",
    "convert",
    "copy_recipe",
    "demo",
    "demo_data",
    "doctor",
    "embed",
    "encode_patches",
    "encode_sections",
    "encode_slides",
    "explain",
    "gene_coverage",
    "gene_embeddings",
    "gene_panel",
    "has",
    "judge_genes",
    "load_classifier",
    "look",
    "make_labels",
    "make_manifest",
    "mil",
    "open_encoder",
    "open_slide",
    "plan",
    "power",
    "predict",
    "pretrain",
    "probe",
    "read_features",
    "read_labels",
    "read_recipe",
    "read_results",
    "read_sections",
    "recipe_keys",
    "recipes",
    "report",
    "robustness",
    "share",
    "tissue",
    "view",
]


class _Door(ModuleType):
    """This package: the folder ``mil`` does not take the place of the function ``mil`` when it is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Door


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("hage-transfer")
    if name not in _HOMES:
        raise AttributeError(f"module 'hage_transfer' has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(f"hage_transfer.{_HOMES[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
