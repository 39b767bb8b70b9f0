"""Bag classifiers: one family a file, one form of input and output for all."""

from mil.models.abmil import ABMIL
from mil.models.build import MODELS, BagClassifier, build_model
from mil.models.output import MILOutput
from mil.models.tilewise import TilewiseMIL

__all__ = ["ABMIL", "MODELS", "BagClassifier", "MILOutput", "TilewiseMIL", "build_model"]
