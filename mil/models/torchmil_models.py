"""torchmil's models by name (Apache-2.0), which the extra `torchmil` installs: ``torchmil:DSMIL``, ...

Reference: each model's own, which torchmil's documentation names.
"""

import difflib
import inspect
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import KDTree
from torch import Tensor, nn
from torch.nn import functional

from hage_transfer.errors import ConfigError, DataError, install_extra
from hage_transfer.mil.kinds import TORCHMIL, TORCHMIL_PREFIX
from hage_transfer.mil.models.whole_bag import WholeBagMIL

MOST_TILES = 4096
"""Of a bag whose model writes out a number for every pair of tiles."""
_STEPS = 1.5
"""Tiles are neighbours up to so many steps of the grid, diagonals included, as in torchmil's data sets."""


class TorchmilMIL(WholeBagMIL):
    """One of torchmil's models, a bag at a time.

    Its widths and options are torchmil's own defaults, but for the first layer, ``Linear, ReLU`` to ``hidden_dim`` as
    CLAM's, and for ``dropout`` where it has one; ``options`` changes any. TransMIL works in ``hidden_dim`` throughout.
    Where the whole loss is that of the bag, the last layer gets a logit a class (see ``kinds.TORCHMIL``); else it keeps
    its one logit and torchmil's own loss, for two classes.

    Args:
        name: torchmil's.
        feature_dim: width of a tile's features.
        n_classes: of the set.
        hidden_dim: width behind the first layer; 0: no such layer.
        dropout: as above.
        options: of torchmil's class.

    Raises:
        ConfigError: torchmil is not installed, an option that the class does not have or refuses, or more classes than
            it is for.
    """

    def __init__(
        self,
        name: str,
        feature_dim: int,
        *,
        n_classes: int,
        hidden_dim: int = 512,
        dropout: float = 0.25,
        options: Mapping[str, Any] | None = None,
        **_others: Any,
    ) -> None:
        super().__init__()
        self.name, self.facts = name, TORCHMIL[name]
        self.needs_coords = self.facts.takes is not None
        if self.facts.head is None and n_classes != 2:
            able = ", ".join(one for one, facts in TORCHMIL.items() if facts.head is not None)
            raise ConfigError(
                f"{self.title}: is for two classes, and there are {n_classes}; for more: {able}, and this project's own"
            )
        self.network = _network(name, feature_dim, hidden_dim=hidden_dim, dropout=dropout, options=options or {})
        if name == "CLAM_SB":
            self.network.inst_loss_fn = _SmoothTop1()
        if self.facts.head is not None:
            last = getattr(self.network, self.facts.head)
            width = getattr(last, "module", last).in_features  # torchmil's own lazy layer wraps it
            setattr(self.network, self.facts.head, nn.Linear(width, n_classes))

    @property
    def title(self) -> str:
        """Its kind."""
        return f"{TORCHMIL_PREFIX}{self.name}"

    def logits(
        self, tiles: Float[Tensor, "tile feature"], coords: Int[Tensor, "tile 2"] | None = None
    ) -> Float[Tensor, " class"]:
        """See ``WholeBagMIL``."""
        return self._of_classes(self.network(tiles[None], **self._beside(tiles, coords)))

    def classify(
        self, tiles: Float[Tensor, "tile feature"], coords: Int[Tensor, "tile 2"] | None
    ) -> tuple[Float[Tensor, " class"], Float[Tensor, " tile"]]:
        """See ``WholeBagMIL``: attention, relevance or class activation of tiles, whatever the model has.

        Weights of a Nyström layer or of relevance can be negative; those are shown as 0.

        Raises:
            DataError: a bag too large for its attention to be written out.
        """
        if self.name == "TransMIL":
            self._refuse_large(len(tiles))
        with ExitStack() as stack:
            if self.name == "GTP":  # relevance goes back through the network by autograd, whoever calls
                stack.enter_context(torch.inference_mode(False))
                stack.enter_context(torch.enable_grad())
                tiles = tiles.clone().requires_grad_()
            output, shown = self.network(tiles[None], **self._beside(tiles, coords), **{self.facts.shows: True})
        weights = shown.reshape(-1)
        weights = weights.clamp(min=0) if self.facts.are_weights else weights.softmax(0)
        tiny = torch.finfo(weights.dtype).tiny  # where no tile has a weight above 0, all count alike
        return self._of_classes(output), weights + tiny

    def loss(
        self, tiles: Float[Tensor, "tile feature"], coords: Int[Tensor, "tile 2"] | None, target: int
    ) -> Float[Tensor, ""]:
        """Cross-entropy, or the sum of torchmil's own losses."""
        if self.facts.head is not None:
            return super().loss(tiles, coords, target)
        labels = torch.tensor([float(target)], device=tiles.device)
        _, losses = self.network.compute_loss(labels, tiles[None], **self._beside(tiles, coords))  # type: ignore[operator]
        return torch.stack([one.mean() for one in losses.values()]).sum()

    def _of_classes(self, output: Tensor) -> Tensor:
        """One logit stands against 0: softmax of the two is its sigmoid."""
        return functional.pad(output.reshape(1), (1, 0)) if self.facts.head is None else output.reshape(-1)

    def _beside(self, tiles: Tensor, coords: Tensor | None) -> dict[str, Tensor]:
        if self.name == "DTFDMIL":
            return {"mask": torch.ones(1, len(tiles), dtype=torch.bool, device=tiles.device)}  # it cannot go without
        if not self.needs_coords:
            return {}
        if coords is None:
            raise DataError(f"{self.title}: wants the tiles' coordinates, and these features have none")
        self._refuse_large(len(tiles))
        if self.facts.takes == "graph":
            return {"adj": neighbours(coords)[None].to(tiles)}
        return {"coords": grid_places(coords)[None]}

    def _refuse_large(self, n_tiles: int) -> None:
        if n_tiles > MOST_TILES:
            raise DataError(
                f"{self.title}: a bag of {n_tiles} tiles; it writes out a number for every pair of tiles, up to "
                f"{MOST_TILES} of them; larger tiles, or kind abmil or clam_sb, go without"
            )


class _SmoothTop1(nn.Module):
    """The smooth top-1 SVM loss, margin and temperature 1, for CLAM_SB.

    In place of torchmil 1.0's, which is given targets of two axes: it then adds up pairs of tiles, and fails where
    scores are large.
    """

    def forward(self, scores: Float[Tensor, "tile class"], targets: Float[Tensor, "tile 1"]) -> Float[Tensor, ""]:
        """Mean over tiles of log sum exp (score + margin) less the true score."""
        true = targets.long().squeeze(1)
        return functional.cross_entropy(scores + 1 - functional.one_hot(true, scores.shape[1]), true)


def neighbours(coords: Int[Tensor, "tile 2"]) -> Float[Tensor, "tile tile"]:
    """The graph of neighbouring tiles, D^(-1/2) A D^(-1/2), without loops: as torchmil's data sets make it."""
    places = coords.cpu().numpy().astype(np.float64)
    pairs = KDTree(places).query_pairs(_STEPS * _step(places) + 1e-6, output_type="ndarray")
    graph = torch.zeros(len(places), len(places))
    graph[pairs[:, 0], pairs[:, 1]] = graph[pairs[:, 1], pairs[:, 0]] = 1.0
    scale = graph.sum(dim=1).clamp(min=1).rsqrt()
    return scale[:, None] * graph * scale


def grid_places(coords: Int[Tensor, "tile 2"]) -> Int[Tensor, "tile 2"]:
    """Row and column of each tile on the grid that the tiles were cut on, from 0.

    Raises:
        DataError: two tiles at one place: the tiles overlap, or lie on several grids.
    """
    places = coords.cpu().numpy().astype(np.float64)
    grid = np.rint((places - places.min(axis=0)) / _step(places)).astype(np.int64)
    if len(np.unique(grid, axis=0)) < len(grid):
        raise DataError(
            "torchmil:SETMIL: wants tiles on one grid, and two of these fall on one place of it; cut the tiles anew "
            "with one stride, or use another kind"
        )
    return torch.from_numpy(grid).to(coords.device)


def _step(places: np.ndarray) -> float:
    """Distance of neighbouring tiles: the median over tiles of that to their nearest."""
    if len(places) < 2:
        return 1.0
    step = float(np.median(KDTree(places).query(places, k=2)[0][:, 1]))
    if step == 0:
        raise DataError("tiles' coordinates: most tiles lie at one place; they say nothing of neighbours")
    return step


def _network(name: str, feature_dim: int, *, hidden_dim: int, dropout: float, options: Mapping[str, Any]) -> nn.Module:
    try:
        with torch.device("cpu"):  # tensors are made at its import, which may happen where a model is only sketched
            from torchmil import models  # type: ignore[import-untyped,unused-ignore]
            from torchmil.nn import VariationalAutoEncoderMIL
    except ImportError:
        raise ConfigError(
            f"{TORCHMIL_PREFIX}{name}: torchmil is not installed; {install_extra('torchmil')}, or choose another kind"
        ) from None
    make = getattr(models, name)
    takes = [one for one in inspect.signature(make).parameters if one not in ("in_shape", "feat_ext", "criterion")]
    unknown = [one for one in options if one not in takes]
    if unknown:
        raise ConfigError(
            f"model.options.{unknown[0]}: {TORCHMIL_PREFIX}{name} has no such option; nearest: "
            f"{difflib.get_close_matches(unknown[0], takes, n=1, cutoff=0.0)[0]}; all: {', '.join(takes)}"
        )
    first: nn.Module = nn.Sequential(nn.Linear(feature_dim, hidden_dim), nn.ReLU()) if hidden_dim else nn.Identity()
    if name == "VAEABMIL":
        first = VariationalAutoEncoderMIL((feature_dim,))
    values: dict[str, Any] = {"dropout": dropout} if "dropout" in takes else {}
    if name == "TransMIL":
        if not hidden_dim:
            raise ConfigError(f"model.hidden_dim = 0: {TORCHMIL_PREFIX}TransMIL works in hidden_dim; give it a width")
        values["att_dim"] = hidden_dim
    try:
        network: nn.Module = make(in_shape=(feature_dim,), feat_ext=first, **{**values, **options})
    except (AssertionError, RuntimeError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ConfigError(f"{TORCHMIL_PREFIX}{name}: refuses its sizes ({error}); see model.options") from None
    return network
