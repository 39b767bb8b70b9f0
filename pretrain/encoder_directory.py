"""What a trial leaves behind for transfer: the encoder directory, with the predictor beside the encoder."""

from pathlib import Path

from hage_transfer.config import config_sha256
from pretrain.config import PretrainConfig
from pretrain.dataset import FoldData
from pretrain.module import HageModule


def write_encoder_directory(
    folder: Path, module: HageModule, data: FoldData, config: PretrainConfig, *, trial: int, validation_pcc: float
) -> None:
    """Writes the gene-informed encoder with a card that says what it was trained on."""
    meta = data.feature_meta
    card = {
        "frozen_encoder": meta.encoder,
        "frozen_encoder_sha256": meta.encoder_sha256,
        "frozen_encoder_licence": meta.encoder_licence,
        "patch_size_px": meta.patch_size_px,
        "panel": list(data.genes),
        "gene_embeddings_source": data.gene_source if config.model.gene_informed else "none",
        "preset": config.preset,
        "fold": data.fold.name,
        "split_unit": config.split.unit,
        "train_sections": list(data.fold.train),
        "held_out_sections": list(data.fold.test),
        "trial": trial,
        "seed": config.seed,
        "validation_pcc": round(validation_pcc, 6),
        "config_sha256": config_sha256(config),
    }
    module.encoder.save_pretrained(folder, card=card)
