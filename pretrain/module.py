"""HAGE as one Lightning module: the three networks, the loss of Eq. 3 and the optimiser of the paper."""

import math
from typing import Any, NamedTuple

import lightning
import torch
from jaxtyping import Float, UInt8
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from hage_transfer.models.expression import PredictorKind, build_predictor, expression_encoder
from hage_transfer.models.gene_informed import GeneInformedEncoder
from hage_transfer.models.linear_start import LinearStart
from hage_transfer.pretrain.centroid_bank import CentroidBank
from hage_transfer.pretrain.config import LossSettings, TrainSettings
from hage_transfer.pretrain.fit import VALIDATION_PCC
from hage_transfer.pretrain.losses import centroids, clip_loss, cyclip_loss, pcc_loss, pcc_loss_within
from hage_transfer.pretrain.running_pcc import RunningPcc
from hage_transfer.pretrain.side_losses import CountLikelihood, SectionReversal
from hage_transfer.pretrain.spot_batches import Batch
from hage_transfer.running.precision import exact

Seen = Float[Tensor, "batch feature"] | UInt8[Tensor, "batch side side 3"]
"""What a spot is told by: frozen features, or its patch."""


class Embedded(NamedTuple):
    """A batch after the three networks, row by row."""

    image: Float[Tensor, "batch embed"]
    expression: Float[Tensor, "batch embed"]
    predicted: Float[Tensor, "batch gene"]
    batch: Batch


class HageModule(lightning.LightningModule):
    """Gene-informed encoder, expression encoder and expression predictor, trained together.

    Args:
        encoder: the gene-informed encoder, with its feature scale set.
        n_genes: genes of the panel.
        loss: weights of Eq. 3.
        train: learning rate, decay and schedule.
        predictor: which expression predictor.
        gene_vectors: embeddings of the panel's genes, for a gene-conditioned predictor.
        bank: gives centroids over the whole training split; None: they are taken over the batch.
        start: what predictions begin at; None: at the predictor's own weights.
        n_sections: training sections, for the loss that reverses them.
        images: from patches to the frozen encoder's features, with adapters that train; None: batches hold features.
        images_rate: learning rate of the adapters.
    """

    def __init__(
        self,
        encoder: GeneInformedEncoder,
        *,
        n_genes: int,
        loss: LossSettings,
        train: TrainSettings,
        predictor: PredictorKind = "mlp",
        gene_vectors: Float[Tensor, "gene gene_dim"] | None = None,
        bank: CentroidBank | None = None,
        start: LinearStart | None = None,
        n_sections: int = 1,
        images: nn.Module | None = None,
        images_rate: float = 1e-3,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.expression = expression_encoder(n_genes, embed_dim=encoder.embed_dim)
        self.predictor = build_predictor(
            predictor, embed_dim=encoder.embed_dim, n_genes=n_genes, gene_vectors=gene_vectors
        )
        self.loss, self.train_settings = loss, train
        self.n_genes, self.bank, self.start = n_genes, bank, start
        self.counts = CountLikelihood(n_genes) if loss.negative_binomial else None
        self.sections = SectionReversal(encoder.embed_dim, n_sections=n_sections) if loss.section_reversal else None
        self.images, self.images_rate = images, images_rate
        self._validation = RunningPcc()
        self._sums, self._n_spots = torch.zeros(()), 0

    def forward(self, features: Seen) -> Float[Tensor, "batch gene"]:
        """Predicted expression, whose scale per gene is arbitrary (Eq. 2 ignores scale and shift)."""
        return self._predicted(features, self.see(features))

    def _predicted(self, features: Seen, embeddings: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch gene"]:
        predicted = self.predictor(embeddings)
        return predicted if self.start is None else self.start(features, predicted)

    def see(self, features: Seen) -> Float[Tensor, "batch embed"]:
        """Gene-informed embeddings, of patches where the image encoder is adapted."""
        return self.encoder(features if self.images is None else self.images(features))

    def embed(self, batch: Batch) -> Embedded:
        """The batch through the three networks."""
        image, expression = self.see(batch.features), self.expression(batch.target)
        return Embedded(image, expression, self._predicted(batch.features, image), batch)

    def terms(self, embedded: Embedded) -> dict[str, Tensor]:
        """The terms of Eq. 3 and those beside it, unweighted, and the contrastive ones' values at chance."""
        image, expression, predicted = (one.float() for one in embedded[:3])
        batch = embedded.batch
        if self.bank is None:
            both = centroids(torch.cat([image, expression], dim=1), batch.cluster)
            centres = both.tensor_split([image.shape[1]], dim=1)
        else:
            centres = self.bank(batch.spot, image, expression)
            self.bank.store(batch.spot, image, expression)
        if self.loss.pcc_scope == "section":
            pcc = pcc_loss_within(predicted, batch.target, batch.section)
        else:
            pcc = pcc_loss(predicted, batch.target)
        beside = {}
        if self.counts is not None and batch.counts is not None:
            beside["negative_binomial"] = self.counts(predicted, batch.counts)
        if self.sections is not None:
            beside["section_reversal"] = self.sections(image, batch.section)
        return {
            "cyclip": cyclip_loss(image, expression),
            "clip_local": clip_loss(image, expression, temperature=self.loss.temperature),
            "clip_global": clip_loss(*centres, temperature=self.loss.temperature),
            "pcc": pcc,
            "clip_local_chance": image.new_full((), math.log(len(image))),
            "clip_global_chance": image.new_full((), math.log(len(centres[0]))),
            **beside,
        }

    def total(self, terms: dict[str, Tensor]) -> Float[Tensor, ""]:
        """Eq. 3, and the terms beside it where they have a weight."""
        names = ["cyclip", "clip_local", "clip_global", "pcc"]
        names += [name for name in ("negative_binomial", "section_reversal") if name in terms]
        return torch.stack([getattr(self.loss, name) * terms[name] for name in names]).sum()

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """One step; the epoch's mean of every term is logged with the last one."""
        embedded = self.embed(batch)
        with exact(embedded.image.device):
            terms = self.terms(embedded)
            loss = self.total(terms)
        self._add_up({**terms, "total": loss}, n_spots=len(embedded.image))
        return loss

    def _add_up(self, terms: dict[str, Tensor], *, n_spots: int) -> None:
        """Sums terms over the epoch's spots; logging each step by Lightning's means costs more than the sums."""
        values = n_spots * torch.stack([value.detach() for value in terms.values()])
        self._sums, self._n_spots = self._sums + values, self._n_spots + n_spots
        if self.trainer.is_last_batch:
            means = self._sums / self._n_spots  # on the device: they are asked for once the epoch is over
            self.log_dict({f"train/{name}": mean for name, mean in zip(terms, means, strict=True)}, batch_size=1)

    def on_train_epoch_start(self) -> None:
        """Starts the epoch's sums, and keeps rounding out of the bank's."""
        self._sums, self._n_spots = torch.zeros((), device=self.device), 0
        if self.bank is not None:
            self.bank.add_up()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Adds the batch's spots to what the metric is taken from."""
        predicted = self(batch.features).float().cpu().numpy()
        self._validation.update(predicted, batch.target.cpu().numpy(), batch.section.cpu().numpy())

    def on_validation_epoch_end(self) -> None:
        """Mean over sections of the mean PCC over genes."""
        seen, self._validation = self._validation, RunningPcc()
        self.log(VALIDATION_PCC, seen.score())

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam with StepLR, as the paper."""
        settings = self.train_settings
        named = [(name, one) for name, one in self.named_parameters() if one.requires_grad]
        adapters = [one for name, one in named if name.startswith("images.")]
        groups: list[dict[str, Any]] = [{"params": [one for name, one in named if not name.startswith("images.")]}]
        groups += [{"params": adapters, "lr": self.images_rate}] if adapters else []
        optimiser = torch.optim.Adam(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)
        schedule = torch.optim.lr_scheduler.StepLR(optimiser, step_size=settings.step_size, gamma=settings.gamma)
        return {"optimizer": optimiser, "lr_scheduler": schedule}
