"""Who competes in a run: HAGE, its variants, and the compared systems; each trained by trials on every fold."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.methods.base import Method
from hage_transfer.pretrain.methods.registry import method_of
from hage_transfer.pretrain.trial_files import HAGE, SHUFFLED


@dataclass(frozen=True)
class Contender:
    """One row of a gene table that has to be trained.

    Attributes:
        source: its name in the results.
        config: that it is trained with: the run's, with a variant's changes.
        method: the compared system; None: HAGE.
        shuffled: HAGE on shuffled expression, the control: each trial trains for as long as HAGE's own did.
        trials: runs with another validation split and initialisation each; 1 where nothing is drawn.
    """

    source: str
    config: PretrainConfig
    method: Method | None
    trials: int
    shuffled: bool = False

    @property
    def calibrated(self) -> bool:
        """Whether the scale of its predictions is arbitrary."""
        return self.method is None or self.method.calibrated


def contenders(config: PretrainConfig, own: Mapping[str, Method] = MappingProxyType({})) -> list[Contender]:
    """HAGE (if asked for), its shuffled control, its variants and the compared systems, in the order of the config.

    Args:
        config: of the run.
        own: as ``method_of``; errors too.
    """
    found = [Contender(HAGE, config, None, config.trials)] if HAGE in config.methods else []
    if config.controls == "all":
        found.append(Contender(SHUFFLED, config, None, config.trials, shuffled=True))
    found += [Contender(name, config.variant(name), None, config.trials) for name in config.variants]
    compared = [method_of(name, own) for name in config.methods if name != HAGE]
    found += [Contender(one.name, config, one, config.trials if one.stochastic else 1) for one in compared]
    return found
