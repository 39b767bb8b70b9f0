"""The encoder directory: weights of encoder and predictor, ``config.json`` and a model card, on disk or on the hub."""

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hage_transfer.atomic import TEMPORARY_MARK, write_json, write_text
from hage_transfer.config import file_sha256
from hage_transfer.errors import DataError, WeightsError

WEIGHTS_FILE, CONFIG_FILE, CARD_FILE = "model.safetensors", "config.json", "README.md"
PREDICTOR_FILE = "predictor.safetensors"
SCHEMA_VERSION = 1
_SIZES = ("feature_dim", "embed_dim", "n_heads")


def write_encoder(
    folder: Path,
    *,
    tensors: Mapping[str, Tensor],
    card: Mapping[str, Any],
    predictor: Mapping[str, Tensor] | None = None,
) -> None:
    """Writes an encoder directory that appears whole or not at all; an earlier one is replaced.

    Args:
        folder: the directory.
        tensors: of the encoder.
        card: becomes ``config.json`` and the model card.
        predictor: tensors of the expression predictor and its calibration; None writes an encoder alone.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f"{TEMPORARY_MARK}{secrets.token_hex(6)}-{folder.name}")
    temporary.mkdir()
    try:
        _save(tensors, temporary / WEIGHTS_FILE)
        if predictor is not None:
            _save(predictor, temporary / PREDICTOR_FILE)
        write_json(temporary / CONFIG_FILE, {"schema_version": SCHEMA_VERSION, **card})
        write_text(temporary / CARD_FILE, _model_card(card))
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_encoder(name: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Config and tensors of a directory or hub repository; errors as ``GeneInformedEncoder.from_pretrained``."""
    folder = _folder(name)
    card = read_card(folder)
    try:
        return card, load_file(folder / WEIGHTS_FILE)
    except FileNotFoundError:
        raise DataError(f"{folder}: is no encoder directory: {WEIGHTS_FILE} is missing") from None
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"{folder / WEIGHTS_FILE}: cannot be read as safetensors ({error}); train or copy it again"
        ) from None


def read_card(folder: Path) -> dict[str, Any]:
    """``config.json`` of an encoder directory alone; errors as ``GeneInformedEncoder.from_pretrained``."""
    path = folder / CONFIG_FILE
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{folder}: is no encoder directory: {CONFIG_FILE} is missing") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not valid JSON: {error}") from None
    missing = [key for key in _SIZES if not isinstance(card, dict) or not isinstance(card.get(key), int)]
    if missing:
        raise DataError(f"{path}: {', '.join(missing)} missing; not written by `hage pretrain`")
    return card


def read_predictor(name: str | Path) -> dict[str, Tensor]:
    """Tensors of the expression predictor of a directory or hub repository.

    Raises:
        DataError: the directory holds an encoder alone, or its predictor cannot be read.
        WeightsError: as ``GeneInformedEncoder.from_pretrained``.
    """
    path = _folder(name) / PREDICTOR_FILE
    try:
        return load_file(path)
    except FileNotFoundError:
        raise DataError(
            f"{name}: holds no {PREDICTOR_FILE}, so it embeds but cannot predict expression (an earlier version wrote "
            "it); run `hage pretrain` again into a new --out, with the config.yaml of its run"
        ) from None
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: cannot be read as safetensors ({error}); train or copy it again") from None


def load_tensors(module: nn.Module, tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Loads tensors strictly, as an error that names the directory where they do not fit."""
    try:
        module.load_state_dict(dict(tensors), strict=True)
    except RuntimeError as error:
        raise DataError(f"{where}: weights do not fit config.json: {' '.join(str(error).split())}") from None


def encoder_sha256(folder: Path) -> str:
    """Hash of an encoder directory's weights."""
    weights = folder / WEIGHTS_FILE
    if not weights.is_file():
        raise DataError(f"{folder}: is no encoder directory: {WEIGHTS_FILE} is missing; `hage pretrain` makes one")
    return file_sha256(weights)


def _folder(name: str | Path) -> Path:
    folder = Path(name)
    return folder if folder.is_dir() else _download(str(name))


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)
    with path.open("rb+") as handle:
        os.fsync(handle.fileno())


def _download(name: str) -> Path:
    looks_like_hub = name.count("/") == 1 and not name.startswith((".", "/", "~"))
    if not looks_like_hub:
        raise DataError(f"{name}: no such encoder directory; `hage pretrain` makes one")
    try:
        wanted = [WEIGHTS_FILE, CONFIG_FILE, CARD_FILE, PREDICTOR_FILE]
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"{name}: no such folder here, and not to be had from the hub ({first_line}); "
            "give an encoder directory, or log in with `hf auth login`"
        ) from None


def _model_card(card: Mapping[str, Any]) -> str:
    panel = card.get("panel", [])
    return f"""---
library_name: hage-transfer
license: other
license_name: inherits-{card.get("frozen_encoder_licence", "unknown")}
tags: [pathology, spatial-transcriptomics, hage]
---

# Gene-informed encoder on {card.get("frozen_encoder", "unknown")}

Takes features of the frozen encoder **{card.get("frozen_encoder", "unknown")}**
({card.get("feature_dim")} numbers a patch) and gives {card.get("embed_dim")}-number embeddings, trained as HAGE
(Dang et al., MICCAI 2025) on spatial transcriptomics.

| | |
|---|---|
| frozen encoder's weights (sha256) | `{card.get("frozen_encoder_sha256", "unknown")}` |
| frozen encoder's licence, inherited | {card.get("frozen_encoder_licence", "unknown")} |
| training sections | {", ".join(card.get("train_sections", [])) or "unknown"} |
| held out | {card.get("fold", "unknown")}, by {card.get("split_unit", "unknown")} |
| genes | {len(panel)}, embeddings from {card.get("gene_embeddings_source", "unknown")} |
| normalisation preset | {card.get("preset", "unknown")} |
| validation PCC | {card.get("validation_pcc", "unknown")} |

```python
from hage_transfer import ExpressionModel, GeneInformedEncoder
encoder = GeneInformedEncoder.from_pretrained("this/folder")
expression = ExpressionModel.from_pretrained("this/folder").predict(features)  # (patch, gene), the preset's unit
```
"""
