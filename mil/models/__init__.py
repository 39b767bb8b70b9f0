"""Bag classifiers: one family a file, one form of input and output for all."""

from hage_transfer.mil.models.abmil import ABMIL
from hage_transfer.mil.models.build import MODELS, BagClassifier, build_model
from hage_transfer.mil.models.output import MILOutput
from hage_transfer.mil.models.tilewise import TilewiseMIL

__all__ = ["ABMIL", "MODELS", "BagClassifier", "MILOutput", "TilewiseMIL", "build_model"]
