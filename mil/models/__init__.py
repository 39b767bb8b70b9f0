"""Bag classifiers: one family a file, one form of input and output for all."""

from hage_transfer.mil.models.abmil import ABMIL
from hage_transfer.mil.models.output import MILOutput
from hage_transfer.mil.models.registry import MODELS, BagClassifier, bag_classifier, build_model
from hage_transfer.mil.models.tilewise import TilewiseMIL
from hage_transfer.mil.models.whole_bag import WholeBagMIL

__all__ = [
    "ABMIL",
    "MODELS",
    "BagClassifier",
    "MILOutput",
    "TilewiseMIL",
    "WholeBagMIL",
    "bag_classifier",
    "build_model",
]
