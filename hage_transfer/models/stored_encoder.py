"""What every encoder of an encoder directory has in common: sizes, a card, and ways to disk and to the hub."""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from hage_transfer.data.feature_file import Features
from hage_transfer.errors import DataError
from hage_transfer.models import checkpoint
from hage_transfer.running.devices import to_device
from hage_transfer.tensor_files import build_fitting

_ROWS_AT_A_TIME = 4096


class StoredEncoder(nn.Module):
    """Frozen features (batch, feature) in, embeddings (batch, embed) out; one subclass a form, see ``models.forms``.

    A subclass names its ``form``, builds its modules and buffers in ``__init__`` and in ``build``, and maps features
    to embeddings in ``forward``; everything else is here.

    Attributes:
        form: name in ``config.json``.
        feature_dim: width of the frozen features.
        embed_dim: width of the embeddings.
        folder: the encoder directory it was loaded from or saved to last; None before.
        card: what ``config.json`` of the encoder directory said (frozen encoder, licence, patients, ...); empty before.
    """

    form: ClassVar[str]

    def __init__(self, *, feature_dim: int, embed_dim: int) -> None:
        super().__init__()
        self.feature_dim, self.embed_dim = feature_dim, embed_dim
        self.card: dict[str, Any] = {}
        self.folder: Path | None = None

    @classmethod
    def build(cls, card: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """An encoder of the sizes that ``config.json`` states; the tensors tell shapes that it does not name."""
        raise NotImplementedError

    def forward(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch embed"]:
        """Embeddings, not normalised."""
        raise NotImplementedError

    @torch.inference_mode()
    def embed(self, features: Features) -> Float32[np.ndarray, "row embed"]:
        """Embeddings of a file's rows, each by itself; a form whose rows see each other says how."""
        rows = np.empty((len(features), self.embed_dim), dtype=np.float32)
        device = next(chain(self.parameters(), self.buffers())).device
        for start in range(0, len(features), _ROWS_AT_A_TIME):
            part = features.features[start : start + _ROWS_AT_A_TIME].astype(np.float32)
            rows[start : start + _ROWS_AT_A_TIME] = self(to_device(torch.from_numpy(part), device)).cpu().numpy()
        return rows

    def sizes(self) -> dict[str, int]:
        """What ``config.json`` must say for ``build``."""
        return {"feature_dim": self.feature_dim, "embed_dim": self.embed_dim}

    @classmethod
    def from_pretrained(cls, name: str | Path, *, revision: str | None = None, token: str | None = None) -> Self:
        """Loads an encoder directory of this form, or a hub repository like it, ready for inference.

        Args:
            name: a folder, or ``organisation/name`` on the hub.
            revision: branch, tag or commit on the hub; None: its main branch.
            token: of the hub; None: the one of ``hf auth login`` or HF_TOKEN, if any.

        Raises:
            DataError: not an encoder directory, one of another form, or its weights do not fit its config.
            WeightsError: ``name`` is no folder and the hub has it not, or cannot be reached.
        """
        folder = checkpoint.find_encoder(name, revision=revision, token=token)
        card, tensors = checkpoint.read_encoder(folder)
        form = checkpoint.form_of(card)
        if form != cls.form:
            raise DataError(
                f"{name}: holds an encoder of form {form}, wanted {cls.form}; open_encoder() opens any form"
            )
        encoder = build_fitting(lambda: cls.build(card, tensors), tensors, where=str(name))
        encoder.card, encoder.folder = card, folder
        return encoder.eval()

    def save_pretrained(self, folder: Path, *, card: Mapping[str, Any]) -> None:
        """Writes the encoder directory (``model.safetensors``, ``config.json``, ``README.md``), whole or not at all."""
        checkpoint.write_encoder(folder, tensors=self.state_dict(), card={**self.identity(), **card})
        self.folder = folder

    def identity(self) -> dict[str, Any]:
        """Form and sizes, as they begin ``config.json``."""
        return {"form": self.form, **self.sizes()}

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
