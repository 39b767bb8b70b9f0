"""The classifiers of all folds side by side, with the optimiser of each."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hage_transfer.mil.bag_pass import Folds, backward, bag_logits
from hage_transfer.mil.draws import fixed_draws
from hage_transfer.mil.models import BagClassifier, TilewiseMIL, WholeBagMIL
from hage_transfer.mil.visits import Visit
from hage_transfer.running.precision import loss_scaler, rounded

Gradients = dict[str, Tensor]


class FoldStack:
    """Classifiers of one form with weights, gradients and Adam of their own.

    Weights lie in one tensor a name, with a leading axis of folds, of which the models' own parameters are views: a
    bag is then multiplied once for all the folds that want it. What a model keeps beside its parameters (running means
    of a normalisation) lies there too.

    Args:
        is_scaled: False where means are 0 and stds 1.

    Attributes:
        memory: what the criterion keeps of each fold's bags, which a resumed training needs again.
    """

    def __init__(
        self,
        models: Sequence[BagClassifier],
        mean: Float[Tensor, "fold feature"],
        std: Float[Tensor, "fold feature"],
        *,
        learning_rate: float,
        weight_decay: float,
        precision: str = "float32",
        is_scaled: bool = True,
    ) -> None:
        self.models, self.mean, self.std = list(models), mean, std
        self._is_scaled = is_scaled
        for model in self.models:
            model.to(mean.device)
        states = [_state(model) for model in self.models]
        self._values = {name: torch.stack([state[name].detach() for state in states]) for name in states[0]}
        for fold, state in enumerate(states):
            for name, value in state.items():
                value.data = self._values[name][fold]
        self.pending: list[Gradients] = [{} for _ in self.models]
        self.memory = torch.zeros(len(self.models), 0)
        parameters = [parameter for model in self.models for parameter in model.parameters()]
        self.optimiser = torch.optim.Adam(parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)
        self.precision = precision
        self.scalers = [loss_scaler(mean.device, precision) for _ in self.models]

    def add_gradients(
        self, folds: Sequence[int], visits: Sequence[Visit], loss_weight: Float[Tensor, "fold bag"]
    ) -> None:
        """Adds the gradients of some folds' weighted losses on some bags to what is pending."""
        first = self.models[0]
        if self.precision == "float16":
            loss_weight = torch.stack([self.scalers[fold].scale(loss_weight[n]) for n, fold in enumerate(folds)])
        if not isinstance(first, TilewiseMIL):
            for place, visit in enumerate(visits):
                self._add_one_by_one(folds, visit, loss_weight[:, place])
            return
        some = self._some(first, folds, with_gradients=True)
        if self.precision != "float32":  # what is rounded lies about 0
            shift = some.mean.mean(dim=0)
            some = replace(some, mean=some.mean - shift, is_scaled=True)
            visits = [replace(visit, tiles=visit.tiles - shift) for visit in visits]
        with rounded(self.mean.device, self.precision):
            backward(some, visits, loss_weight)
        for name, value in some.weights.items():
            if value.grad is not None:
                for place, fold in enumerate(folds):
                    self._add(fold, name, value.grad[place])

    @property
    def dropout_widths(self) -> dict[str, int]:
        """Layers whose dropout is drawn for all folds, and the width of each."""
        first = self.models[0]
        return first.dropout_widths if isinstance(first, TilewiseMIL) else {}

    @property
    def needs_coords(self) -> bool:
        """Whether the classifiers want the tiles' places too."""
        first = self.models[0]
        return isinstance(first, WholeBagMIL) and first.needs_coords

    def logits(
        self,
        folds: Sequence[int],
        rows: Float[Tensor, "tile feature"],
        coords: Int[Tensor, "tile 2"] | None = None,
    ) -> Float[Tensor, "fold class"]:
        """Logits of one bag by some folds."""
        first = self.models[0]
        if isinstance(first, TilewiseMIL):
            return bag_logits(self._some(first, folds, with_gradients=False), rows)
        return torch.stack([self._alone(fold).judged(self._scaled(fold, rows), coords) for fold in folds])

    @torch.no_grad()
    def step(self, folds: Sequence[int]) -> None:
        """One step of Adam for some folds with their pending gradients; the others stay as they are."""
        if self.precision == "float16":  # each fold has a scale of its own, as if trained alone
            for fold in folds:
                self._step((fold,), self.scalers[fold])
        else:
            self._step(folds, self.scalers[0])

    def _step(self, folds: Sequence[int], scaler: torch.amp.GradScaler) -> None:
        for fold in folds:
            for name, gradient in self.pending[fold].items():
                self.models[fold].get_parameter(name).grad = gradient
        scaler.step(self.optimiser)
        scaler.update()
        for fold in folds:
            self.models[fold].zero_grad(set_to_none=True)
            self.pending[fold] = {}

    def weights_of(self, fold: int) -> dict[str, Tensor]:
        """A copy of a fold's weights."""
        return {name: value[fold].clone() for name, value in self._values.items()}

    @torch.no_grad()
    def set_weights(self, fold: int, weights: dict[str, Tensor]) -> None:
        """Puts a fold's weights in place."""
        for name, value in weights.items():
            self._values[name][fold] = value.to(self.mean.device)

    def moments_of(self, fold: int) -> dict[str, dict[str, Tensor]]:
        """Adam's state of a fold, by name of the parameter; empty before its first step."""
        state = self.optimiser.state
        return {name: dict(state[p]) for name, p in self.models[fold].named_parameters() if p in state}

    def set_moments(self, fold: int, moments: dict[str, dict[str, Tensor]]) -> None:
        """Puts Adam's state of a fold in place."""
        for name, values in moments.items():
            device = self.mean.device
            self.optimiser.state[self.models[fold].get_parameter(name)] = {
                key: value.to(device).clone() for key, value in values.items()
            }

    def _some(self, model: TilewiseMIL, folds: Sequence[int], *, with_gradients: bool) -> Folds:
        """Views where the folds lie side by side, else copies."""
        if list(folds) == list(range(folds[0], folds[-1] + 1)):
            side_by_side = slice(folds[0], folds[-1] + 1)
            weights = {name: value[side_by_side].detach() for name, value in self._values.items()}
            mean, std = self.mean[side_by_side], self.std[side_by_side]
        else:
            chosen = torch.tensor(folds, device=self.mean.device)
            weights = {name: value.index_select(0, chosen) for name, value in self._values.items()}
            mean, std = self.mean[chosen], self.std[chosen]
        if with_gradients:
            weights = {name: value.requires_grad_() for name, value in weights.items()}
        return Folds(folds, model, weights, mean, std, self._is_scaled)

    def _alone(self, fold: int) -> WholeBagMIL:
        return cast(WholeBagMIL, self.models[fold])

    def _scaled(self, fold: int, rows: Tensor) -> Tensor:
        return (rows - self.mean[fold]) / self.std[fold]

    def _add(self, fold: int, name: str, gradient: Tensor) -> None:
        before = self.pending[fold].get(name)
        self.pending[fold][name] = gradient if before is None else before + gradient

    def _add_one_by_one(self, folds: Sequence[int], visit: Visit, loss_weight: Float[Tensor, " fold"]) -> None:
        """For a classifier that looks at its tiles together."""
        for place, fold in enumerate(folds):
            model = self._alone(fold).train()
            with fixed_draws(visit.seed, visit.tiles.device), rounded(visit.tiles.device, self.precision):
                tiles = self._scaled(fold, visit.tiles)
                if visit.loss is None:
                    loss = model.loss(tiles, visit.coords, visit.target)
                else:
                    loss = visit.loss([fold], model.logits(tiles, visit.coords)[None].float())[0]
                (loss * loss_weight[place]).backward()
            for name, parameter in model.named_parameters():
                if parameter.grad is not None:
                    self._add(fold, name, parameter.grad)
            model.zero_grad(set_to_none=True)


def _state(model: BagClassifier) -> dict[str, Tensor]:
    """Parameters and the buffers that a checkpoint keeps, each once, by name."""
    kept = model.state_dict(keep_vars=True)
    return dict(model.named_parameters()) | {name: kept[name] for name, _ in model.named_buffers() if name in kept}
