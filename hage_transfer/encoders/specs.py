"""Frozen encoders that timm or transformers build, by name: pathology foundation models, ``timm:`` and ``hf-hub:``.

Where an entry names no architecture, its repository's ``config.json`` does; where it does, the architecture and its
arguments are what that file and the authors' model card give together. Nothing here loads timm.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from hage_transfer.encoders.base import Preprocessing
from hage_transfer.errors import WeightsError, nearest
from hage_transfer.extensions import installed

EMBEDDED, EMBEDDED_WIDTH, ONNX_ENDING = "embedded", 352, ".onnx"
TIMM_PREFIX, HUB_PREFIXES = "timm:", ("hf-hub:", "hf_hub:")
Pooling = Literal["model", "class", "class_and_patch_mean"]


@dataclass(frozen=True)
class EncoderSpec:
    """What is known of an encoder before its weights are.

    Attributes:
        name: registry name.
        hub: hub repository of the weights; empty where none is known.
        licence: of the weights; empty: as the repository's config says.
        width: numbers per image, after pooling; 0: any.
        is_gated: whether access must be asked for.
        architecture: timm's name for it; None: as the repository's ``config.json`` says.
        arguments: of the architecture; strings in ``mlp_layer`` and ``act_layer`` name classes.
        pooling: ``model``: what the network returns (of transformers', ``class``); of its tokens ``class``: the first,
            ``class_and_patch_mean``: that and the mean of patch tokens.
        preprocessing: None: as the repository's config, or timm, says.
    """

    name: str
    hub: str
    licence: str = ""
    width: int = 0
    is_gated: bool = False
    architecture: str | None = None
    _: KW_ONLY
    arguments: Mapping[str, Any] = field(default_factory=dict)
    pooling: Pooling = "model"
    preprocessing: Preprocessing | None = None


_NON_COMMERCIAL, _SEE_CARD = "CC-BY-NC-ND-4.0", "see model card: "
_SWIGLU = {"mlp_layer": "SwiGLUPacked", "act_layer": "SiLU"}
_BASE_224 = {"img_size": 224, "init_values": 1e-5}
_UNI2 = {
    **_BASE_224, **_SWIGLU, "patch_size": 14, "depth": 24, "num_heads": 24, "embed_dim": 1536,
    "mlp_ratio": 2.66667 * 2, "no_embed_class": True, "reg_tokens": 8, "dynamic_img_size": True,
}  # fmt: skip
_VIRCHOW2 = {
    **_BASE_224, **_SWIGLU, "reg_tokens": 4, "mlp_ratio": 5.3375, "global_pool": "", "dynamic_img_size": True
}  # fmt: skip
_GIGAPATH = {
    **_BASE_224, "patch_size": 16, "embed_dim": 1536, "depth": 40, "num_heads": 24, "mlp_ratio": 5.33334
}  # fmt: skip
_BILINEAR = Preprocessing(interpolation="bilinear")
_OPTIMUS = Preprocessing(mean=(0.707223, 0.578729, 0.703617), std=(0.211883, 0.230117, 0.177517))
_HALVES = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def _kaiko(size: str, architecture: str, width: int) -> EncoderSpec:
    hub = f"1aurent/{architecture}.kaiko_ai_towards_large_pathology_fms"
    return EncoderSpec(f"kaiko-{size}", hub, "MIT", width)


def _lunit(size: str, architecture: str) -> EncoderSpec:
    return EncoderSpec(f"lunit-{size}", f"1aurent/{architecture}.lunit_dino", f"{_SEE_CARD}non-commercial", 384)


def _phikon(name: str, width: int) -> EncoderSpec:
    return EncoderSpec(name, f"owkin/{name}", f"{_SEE_CARD}Owkin, non-commercial", width, pooling="class")


_ALL = (
    EncoderSpec(
        "uni", "MahmoodLab/UNI", _NON_COMMERCIAL, 1024, True, "vit_large_patch16_224",
        arguments={**_BASE_224, "dynamic_img_size": True}, preprocessing=_BILINEAR,
    ),
    EncoderSpec(
        "uni2-h", "MahmoodLab/UNI2-h", _NON_COMMERCIAL, 1536, True, "vit_giant_patch14_224", arguments=_UNI2,
        preprocessing=_BILINEAR,
    ),
    EncoderSpec(
        "virchow2", "paige-ai/Virchow2", _NON_COMMERCIAL, 2560, True, "vit_huge_patch14_224",
        arguments=_VIRCHOW2, pooling="class_and_patch_mean", preprocessing=Preprocessing(),
    ),
    EncoderSpec(
        "gigapath", "prov-gigapath/prov-gigapath",
        "Apache-2.0; hub access for non-commercial research, see model card", 1536, True, "vit_giant_patch14_dinov2",
        arguments=_GIGAPATH, preprocessing=Preprocessing(resize_px=256),
    ),
    EncoderSpec(
        "h-optimus-0", "bioptimus/H-optimus-0", "Apache-2.0", 1536, True, "vit_giant_patch14_reg4_dinov2",
        arguments={**_BASE_224, "dynamic_img_size": False}, preprocessing=_OPTIMUS,
    ),
    EncoderSpec(
        "virchow", "paige-ai/Virchow", "Apache-2.0", 2560, True, None, arguments=_SWIGLU,
        pooling="class_and_patch_mean",
    ),
    EncoderSpec("h-optimus-1", "bioptimus/H-optimus-1", _NON_COMMERCIAL, 1536, True),
    EncoderSpec("h0-mini", "bioptimus/H0-mini", _NON_COMMERCIAL, 768, True, arguments=_SWIGLU, pooling="class"),
    _kaiko("vits8", "vit_small_patch8_224", 384),
    _kaiko("vits16", "vit_small_patch16_224", 384),
    _kaiko("vitb8", "vit_base_patch8_224", 768),
    _kaiko("vitb16", "vit_base_patch16_224", 768),
    _kaiko("vitl14", "vit_large_patch14_reg4_224", 1024),
    _lunit("vits8", "vit_small_patch8_224"),
    _lunit("vits16", "vit_small_patch16_224"),
    _phikon("phikon", 768),
    _phikon("phikon-v2", 1024),
    EncoderSpec(
        "midnight-12k", "kaiko-ai/midnight", "MIT", 3072, pooling="class_and_patch_mean", preprocessing=_HALVES
    ),
)  # fmt: skip
SPECS: Mapping[str, EncoderSpec] = MappingProxyType({spec.name: spec for spec in _ALL})

CANNOT: Mapping[str, str] = MappingProxyType(
    {
        "conch": "MahmoodLab/CONCH is loaded by its own package (conch)",
        "conch-v1.5": "MahmoodLab/TITAN is loaded by code of its repository",
        "hibou-b": "histai/hibou-b is loaded by code of its repository",
        "hibou-l": "histai/hibou-L is loaded by code of its repository",
    }
)
"""Named models that neither timm nor transformers loads without code of others: their own loader makes an object."""


def spec_of(name: str) -> EncoderSpec | None:
    """The entry of a name, or that of a ``timm:`` or ``hf-hub:`` name; None where it is none of these."""
    if name.startswith(TIMM_PREFIX):
        return EncoderSpec(name, "", architecture=name.removeprefix(TIMM_PREFIX))
    hub = next((name.removeprefix(prefix) for prefix in HUB_PREFIXES if name.startswith(prefix)), None)
    return SPECS.get(name) if hub is None else EncoderSpec(name, hub)


def encoder_names() -> list[str]:
    """Names of the registry; ``timm:<model>`` and ``hf-hub:<owner>/<model>`` besides."""
    return [EMBEDDED, *SPECS]


def is_onnx_file(name: str) -> bool:
    """Whether an encoder's name is that of an ONNX file."""
    return name.lower().endswith(ONNX_ENDING)


def check_known(name: str) -> None:
    """Refuses a name that is none of the registry's, of an installed entry, of timm, of the hub, or of an ONNX file.

    Raises:
        WeightsError: unknown; the nearest name and all names are given.
    """
    if is_onnx_file(name) or spec_of(name) is not None or name in (EMBEDDED, *installed("encoders")):
        return
    if name in CANNOT:
        raise WeightsError(
            f"encoder.name = {name}: {CANNOT[name]}, not by timm or transformers alone; load it so yourself "
            "and give it as a Python object (encoder=...), or install an entry point of it"
        )
    (near,) = nearest(name, encoder_names())
    raise WeightsError(
        f"encoder.name = {name}: unknown encoder; nearest: {near}; all: {', '.join(encoder_names())}, "
        "timm:<model>, hf-hub:<owner>/<model>, <file>.onnx"
    )
