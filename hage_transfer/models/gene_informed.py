"""The gene-informed encoder (GE): frozen features in, embeddings that have seen genes out."""

from pathlib import Path
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hage_transfer.errors import DataError
from hage_transfer.models import checkpoint
from hage_transfer.models.gene_attention import GeneAttention
from hage_transfer.tensor_files import build_fitting


class GeneInformedEncoder(nn.Module):
    """z = MLP2(Attn(Wx x; Wg g) + Wx x), HAGE section 2.2.

    Deviation: features are standardised first with ``feature_mean`` and ``feature_std`` (identity until set), since
    frozen encoders differ in scale by orders of magnitude and the paper's learning rate assumes UNI's. The statistics
    are fitted on training spots and stored with the weights.

    Args:
        gene_embeddings: one row per panel gene; None leaves the attention out (Table 2, rows I and II).
        feature_dim: width of the frozen features.
        embed_dim: width d of the embeddings (paper: 1024).
        n_heads: attention heads (not given in the paper; ours: 8).
        feature_dropout: share of features dropped while training (ours; 0 as in the paper).

    Attributes:
        folder: the encoder directory it was loaded from or saved to last; None before.
        card: what ``config.json`` of the encoder directory said (panel, frozen encoder, licence, ...); empty before.

    >>> genes = torch.randn(5, 200, generator=torch.Generator().manual_seed(0))
    >>> encoder = GeneInformedEncoder(genes, feature_dim=352, embed_dim=64)
    >>> encoder(torch.zeros(2, 352)).shape, encoder.gene_attention(torch.zeros(2, 352)).shape
    (torch.Size([2, 64]), torch.Size([2, 8, 5]))
    """

    gene_embeddings: Float[Tensor, "gene gene_dim"] | None
    feature_mean: Float[Tensor, " feature"]
    feature_std: Float[Tensor, " feature"]

    def __init__(
        self,
        gene_embeddings: Float[Tensor, "gene gene_dim"] | None,
        *,
        feature_dim: int,
        embed_dim: int = 1024,
        n_heads: int = 8,
        feature_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.feature_dim, self.embed_dim, self.n_heads = feature_dim, embed_dim, n_heads
        self.card: dict[str, Any] = {}
        self.folder: Path | None = None
        self.register_buffer("feature_mean", torch.zeros(feature_dim))
        self.register_buffer("feature_std", torch.ones(feature_dim))
        self.register_buffer("gene_embeddings", gene_embeddings)
        self.dropout = nn.Dropout(feature_dropout)
        self.project_features = nn.Linear(feature_dim, embed_dim)
        if gene_embeddings is not None:
            self.attention = GeneAttention(embed_dim, gene_dim=gene_embeddings.shape[1], n_heads=n_heads)
        self.refine = nn.Sequential(nn.Linear(embed_dim, embed_dim), nn.GELU(), nn.Linear(embed_dim, embed_dim))

    def forward(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch embed"]:
        """Gene-informed embeddings, not normalised."""
        patches = self._project(features)
        if self.gene_embeddings is not None:
            patches = patches + self.attention(patches, self.gene_embeddings)
        return self.refine(patches)

    @torch.no_grad()
    def gene_attention(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch head gene"]:
        """Which genes each patch attends to; rows sum to 1 over the panel's genes.

        Raises:
            ValueError: the encoder was trained without genes.
        """
        if self.gene_embeddings is None:
            raise ValueError("this encoder was trained without gene embeddings and attends to no genes")
        return self.attention.weights(self._project(features), self.gene_embeddings)

    def set_feature_scale(self, mean: Float[Tensor, " feature"], std: Float[Tensor, " feature"]) -> None:
        """Sets the statistics that features are standardised with; a constant feature (std 0) is only centred."""
        self.feature_mean.copy_(mean)
        self.feature_std.copy_(torch.where(std > 0, std, torch.ones_like(std)))

    @classmethod
    def from_pretrained(cls, name: str | Path, *, revision: str | None = None, token: str | None = None) -> Self:
        """Loads an encoder directory, or a hub repository of that form, ready for inference.

        Args:
            name: a folder, or ``organisation/name`` on the hub.
            revision: branch, tag or commit on the hub; None: its main branch.
            token: of the hub; None: the one of ``hf auth login`` or HF_TOKEN, if any.

        Raises:
            DataError: not an encoder directory, or its weights do not fit its config.
            WeightsError: ``name`` is no folder and the hub has it not, or cannot be reached.
        """
        folder = checkpoint.find_encoder(name, revision=revision, token=token)
        card, tensors = checkpoint.read_encoder(folder)
        genes = tensors.get("gene_embeddings")
        if genes is not None and (genes.ndim != 2 or not genes.is_floating_point()):
            raise DataError(
                f"{name}: gene_embeddings of shape {tuple(genes.shape)} {genes.dtype}, wanted (genes, numbers)"
            )
        encoder = build_fitting(
            lambda: cls(
                genes,
                feature_dim=card["feature_dim"],
                embed_dim=card["embed_dim"],
                n_heads=card["n_heads"],
            ),
            tensors,
            where=str(name),
        )
        encoder.card, encoder.folder = card, folder
        return encoder.eval()

    def save_pretrained(self, folder: Path, *, card: dict[str, Any]) -> None:
        """Writes the encoder directory (``model.safetensors``, ``config.json``, ``README.md``), whole or not at all."""
        sizes = {"feature_dim": self.feature_dim, "embed_dim": self.embed_dim, "n_heads": self.n_heads}
        checkpoint.write_encoder(folder, tensors=self.state_dict(), card={**sizes, **card})
        self.folder = folder

    def push_to_hub(
        self, repo_id: str, *, token: str | None = None, private: bool = True, allow_derivative: bool = False
    ) -> str:
        """Uploads the encoder directory that this encoder was loaded from; ``push_encoder`` says what leaves.

        Returns:
            The repository's address.

        Raises:
            DataError: it was neither loaded nor saved, or its weights have changed since.
            SharingError: the frozen encoder's licence forbids it and ``allow_derivative`` is not set; no token; no
                access; the hub cannot be reached.
        """
        from hage_transfer.models.sharing import push_encoder

        if self.folder is None:
            raise DataError("this encoder lies in no directory yet; save_pretrained(folder, card=...) first")
        stored = checkpoint.read_encoder(self.folder)[1]
        own = self.state_dict()
        if own.keys() != stored.keys() or any(not torch.equal(own[key].cpu(), stored[key]) for key in own):
            raise DataError(
                f"{self.folder}: holds other weights than this encoder; save_pretrained(folder, card=...) first"
            )
        return push_encoder(self.folder, repo_id, token=token, private=private, allow_derivative=allow_derivative)

    def _project(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch embed"]:
        return self.project_features(self.dropout((features - self.feature_mean) / self.feature_std))
