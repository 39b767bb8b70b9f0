"""CLAM: attention pooling that also learns to tell the tiles it attends to from those it does not."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from hage_transfer.mil.models.abmil import ABMIL
from hage_transfer.mil.models.tilewise import Weights

InstanceLoss = Literal["cross_entropy", "smooth_svm"]


class ClamSB(ABMIL):
    """CLAM with a single attention branch.

    The classifier of AB-MIL, and for every class a classifier of tiles. In a bag of class Y, the ``instance_tiles``
    tiles of highest attention are labelled 1 and as many of lowest attention 0 for the tile classifier of Y. Where
    classes exclude each other (``subtyping``), the tiles of highest attention are labelled 0 for every other class,
    and the tile loss is the mean over classes. The whole loss is c1 L_bag + (1 - c1) L_tiles with c1 = ``bag_weight``.

    Deviation: a bag with fewer than twice as many tiles gives half of them to either label, where CLAM's code labels
    some tiles twice or, below ``instance_tiles``, fails. The tile of a bag of one has both labels.

    Reference: Lu et al., "Data-efficient and weakly supervised computational pathology on whole-slide images", Nature
    Biomedical Engineering 2021, Methods (k = 8, c1 = 0.7 there); the smooth top-1 SVM loss is that of Berrada,
    Zisserman, Kumar, ICLR 2018, with temperature and margin 1.
    """

    def __init__(
        self,
        feature_dim: int,
        *,
        hidden_dim: int = 512,
        attention_dim: int = 256,
        gated: bool = True,
        dropout: float = 0.25,
        n_classes: int = 2,
        n_branches: int = 1,
        instance_tiles: int = 8,
        bag_weight: float = 0.7,
        instance_loss: InstanceLoss = "smooth_svm",
        subtyping: bool = False,
    ) -> None:
        super().__init__(
            feature_dim,
            hidden_dim=hidden_dim,
            attention_dim=attention_dim,
            gated=gated,
            dropout=dropout,
            n_classes=n_classes,
            n_branches=n_branches,
        )
        self.instances = nn.Linear(self.hidden_dim, 2 * n_classes)
        self.k, self.bag_weight, self.subtyping = instance_tiles, bag_weight, subtyping
        self.smooth = instance_loss == "smooth_svm"

    def instance_tiles(self, scores: Float[Tensor, "fold branch tile"], target: int) -> Int[Tensor, "fold chosen"]:
        """Tiles of highest, then of lowest attention of the true class; by subtyping, then highest of the others."""
        k = min(self.k, max(scores.shape[2] // 2, 1))
        own = scores[:, self._branch(target)]
        chosen = [own.topk(k, dim=1).indices, own.topk(k, dim=1, largest=False).indices]
        if self.subtyping:
            chosen += [scores[:, self._branch(c)].topk(k, dim=1).indices for c in self._others(target)]
        return torch.cat(chosen, dim=1)

    def instance_loss(
        self, weights: Weights, hidden: Float[Tensor, "fold chosen hidden"], target: int
    ) -> Float[Tensor, " fold"]:
        """Mean loss of the chosen tiles, of each class's tile classifier and then over classes."""
        n_sets = 2 + (self.n_classes - 1 if self.subtyping else 0)
        k = hidden.shape[1] // n_sets
        logits = torch.baddbmm(
            weights["instances.bias"].unsqueeze(1), hidden, weights["instances.weight"].transpose(1, 2)
        ).unflatten(2, (self.n_classes, 2))
        marks = torch.tensor([1] * k + [0] * k, device=hidden.device)
        losses = [self._loss(logits[:, : 2 * k, target], marks)]
        if self.subtyping:
            for number, other in enumerate(self._others(target), start=2):
                losses.append(self._loss(logits[:, number * k : (number + 1) * k, other], torch.zeros_like(marks[:k])))
        return torch.stack(losses).mean(dim=0)

    def _branch(self, number: int) -> int:
        return number if self.n_branches > 1 else 0

    def _others(self, target: int) -> list[int]:
        return [number for number in range(self.n_classes) if number != target]

    def _loss(self, logits: Float[Tensor, "fold chosen 2"], marks: Int[Tensor, " chosen"]) -> Float[Tensor, " fold"]:
        """Cross-entropy; or its smooth SVM form, in which the wrong class has a margin of 1."""
        if self.smooth:
            logits = logits + (1 - functional.one_hot(marks, 2))
        own = logits.gather(2, marks.expand(len(logits), -1).unsqueeze(2)).squeeze(2)
        return (logits.logsumexp(dim=2) - own).mean(dim=1)


class ClamMB(ClamSB):
    """CLAM with an attention branch and a bag classifier for every class; see ``ClamSB``."""

    def __init__(self, feature_dim: int, *, n_classes: int = 2, **sizes: object) -> None:
        super().__init__(feature_dim, n_classes=n_classes, n_branches=n_classes, **sizes)  # type: ignore[arg-type]

    def classify(
        self, weights: Weights, pooled: Float[Tensor, "fold bag branch hidden"]
    ) -> Float[Tensor, "fold bag class"]:
        """The logit of a class is a linear function of what its own branch pools."""
        own = (pooled * weights["classifier.weight"].unsqueeze(1)).sum(dim=3)
        return own + weights["classifier.bias"].unsqueeze(1)
