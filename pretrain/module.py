"""HAGE as one Lightning module: the three networks, the loss of Eq. 3 and the optimiser of the paper."""

from typing import Any

import lightning
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hage_transfer.metrics.genes import gene_pcc, pcc_mean
from hage_transfer.models.expression import PredictorKind, build_predictor, expression_encoder
from hage_transfer.models.gene_informed import GeneInformedEncoder
from pretrain.config import LossSettings, TrainSettings
from pretrain.fit import VALIDATION_PCC
from pretrain.losses import centroids, clip_loss, cyclip_loss, pcc_loss, pcc_loss_within

Batch = tuple[Tensor, Tensor, Tensor, Tensor]


class HageModule(lightning.LightningModule):
    """Gene-informed encoder, expression encoder and expression predictor, trained together.

    A batch is (features, target, cluster, section), row by row a spot.

    Args:
        encoder: the gene-informed encoder, with its feature scale set.
        n_genes: genes of the panel.
        loss: weights of Eq. 3.
        train: learning rate, decay and schedule.
        predictor: which expression predictor.
        gene_vectors: embeddings of the panel's genes, for a gene-conditioned predictor.
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
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.expression = expression_encoder(n_genes, embed_dim=encoder.embed_dim)
        self.predictor = build_predictor(
            predictor, embed_dim=encoder.embed_dim, n_genes=n_genes, gene_vectors=gene_vectors
        )
        self.loss, self.train_settings = loss, train
        self._validation: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch gene"]:
        """Predicted expression, whose scale per gene is arbitrary (Eq. 2 ignores scale and shift)."""
        return self.predictor(self.encoder(features))

    def terms(
        self,
        features: Float[Tensor, "batch feature"],
        target: Float[Tensor, "batch gene"],
        clusters: Int[Tensor, " batch"],
        sections: Int[Tensor, " batch"],
    ) -> dict[str, Tensor]:
        """The terms of Eq. 3, unweighted."""
        image, expression = self.encoder(features), self.expression(target)
        predicted = self.predictor(image)
        centres = centroids(image, clusters), centroids(expression, clusters)
        if self.loss.pcc_scope == "section":
            pcc = pcc_loss_within(predicted, target, sections)
        else:
            pcc = pcc_loss(predicted, target)
        return {
            "cyclip": cyclip_loss(image, expression),
            "clip_local": clip_loss(image, expression, temperature=self.loss.temperature),
            "clip_global": clip_loss(*centres, temperature=self.loss.temperature),
            "pcc": pcc,
        }

    def total(self, terms: dict[str, Tensor]) -> Float[Tensor, ""]:
        """Eq. 3."""
        weights = {"cyclip": self.loss.cyclip, "clip_local": self.loss.clip_local}
        weights |= {"clip_global": self.loss.clip_global, "pcc": self.loss.pcc}
        return torch.stack([weight * terms[name] for name, weight in weights.items()]).sum()

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """One step; logs every term, and beside the contrastive ones their value at chance."""
        terms = self.terms(*batch)
        loss = self.total(terms)
        size, n_clusters = len(batch[0]), len(torch.unique(batch[2]))
        logged = {**terms, "total": loss}
        logged |= {"clip_local_chance": torch.tensor(size).log(), "clip_global_chance": torch.tensor(n_clusters).log()}
        self.log_dict(
            {f"train/{name}": value for name, value in logged.items()}, on_epoch=True, on_step=False, batch_size=size
        )
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Gathers predictions; the metric is taken per section once all are there."""
        features, target, _, sections = batch
        self._validation.append((self(features), target, sections))

    def on_validation_epoch_end(self) -> None:
        """Mean over sections of the mean PCC over genes."""
        predicted, target, sections = (torch.cat(parts).cpu() for parts in zip(*self._validation, strict=True))
        self._validation.clear()
        if not torch.isfinite(predicted).all():
            self.log(VALIDATION_PCC, -float("inf"))
            return
        scores = [
            pcc_mean(gene_pcc(predicted[sections == one].numpy(), target[sections == one].numpy()))
            for one in torch.unique(sections)
            if int((sections == one).sum()) > 1
        ]
        finite = [score for score in scores if score == score]
        self.log(VALIDATION_PCC, sum(finite) / len(finite) if finite else 0.0)

    def configure_optimizers(self) -> dict[str, Any]:
        """Adam with StepLR, as the paper."""
        settings = self.train_settings
        optimiser = torch.optim.Adam(
            self.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.StepLR(optimiser, step_size=settings.step_size, gamma=settings.gamma)
        return {"optimizer": optimiser, "lr_scheduler": schedule}
