"""Config of `hage encode st` and `hage pretrain`; the paper's values are the defaults where it gives them."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from hage_transfer.config import EncoderSettings, Precision, SectionsSettings, Settings, describe_faults
from hage_transfer.extensions import check_named
from hage_transfer.pretrain.image_settings import ImageEncoderSettings, PatchSettings, PixelSettings

METHOD_NAMES = (
    "hage",
    "stnet",
    "histogene",
    "hist2st_graph",
    "thitogene_graph",
    "bleep",
    "mclstexp",
    "pca_ridge",
    "knn",
)
PIXELS_SUFFIX = "_pixels"
PIXEL_NAMES = tuple(f"{name}{PIXELS_SUFFIX}" for name in ("stnet", "histogene", "bleep", "mclstexp"))
"""Systems whose image network trains on patches; asked for by name, `all` leaves them out."""
STYLE_NAMES = ("triplex_style", "deepspot_style", "stpath_style")
"""Heads after later systems than the paper's; asked for by name, `all` leaves them out."""
SYSTEM_NAMES = METHOD_NAMES[:-2]
"""Those that leave encoders: HAGE and the paper's systems; the last two are references."""
RENAMED = {"hist2st": "hist2st_graph", "thitogene": "thitogene_graph"}
"""Names of earlier versions, which said more than these heads are."""


OWN_PREFIX = "own:"
_OWN_NAME = re.compile(rf"{OWN_PREFIX}([A-Za-z][A-Za-z0-9_.-]*):[0-9a-f]{{16}}")


def _method_name(name: str) -> str:
    if name.startswith(OWN_PREFIX):
        found = _OWN_NAME.fullmatch(name)
        if found is None or is_taken(found[1]):
            raise ValueError(f"wanted {OWN_PREFIX}<name>:<hash>, of a system given in Python, of a name of its own")
        return name
    if name in RENAMED:
        raise ValueError(
            f"was renamed: it is a graph head on frozen features, not the published system; write {RENAMED[name]}"
        )
    return check_named(name, (*METHOD_NAMES, *STYLE_NAMES, *PIXEL_NAMES), "pretraining")


MethodName = Annotated[str, AfterValidator(_method_name)]
BASELINE_NAMES = ("ridge", "reduced_rank_ridge", "kernel_ridge", "ridge_context", "reduced_rank_ridge_context")
BAGGED_NAMES = ("bagged_ridge", "bagged_reduced_rank_ridge")
RESERVED = (
    *METHOD_NAMES,
    *STYLE_NAMES,
    *PIXEL_NAMES,
    *BASELINE_NAMES,
    *BAGGED_NAMES,
    "gene_mean",
    "gene_median",
    "all_zero",
    "spot_depth",
    "shuffled",
)
"""Names of the results that a variant may not take."""


def is_taken(name: str) -> bool:
    """Whether results have that name already."""
    return name in RESERVED or name.endswith("_averaged") or "zero_shot" in name


VARIANT_KEYS = ("model.", "loss.", "clusters.", "train.", "genes.control", "image_encoder.")
"""What a variant may change: all that leaves a fold's arrays as they are."""


class ContextSettings(Settings):
    """What the features of a spot are given besides its own patch. Off as in the paper."""

    neighbours: int = Field(0, ge=0, description="append the mean features of so many nearest spots (8: a ring)")
    standardise: bool = Field(False, description="standardise features within each section, by all of its spots")


class GeneSettings(Settings):
    """The panel and the gene embeddings."""

    panel: Literal["hvg"] | Path = Field("hvg", description="a file with one symbol a line, or `hvg`")
    n_top: int = Field(1000, gt=0, description="hvg: highly variable genes taken from each training section")
    min_sections: int = Field(2, gt=0, description="hvg: keep genes among the top of at least so many sections")
    min_spots: int = Field(100, ge=0, description="hvg: keep genes seen in at least so many training spots")
    embeddings: Path | None = Field(
        None, description="Gene2Vec text file; None: trained from the training sections' co-expression"
    )
    installed: str | None = Field(None, description="gene embeddings of an installed distribution, in place of a file")
    embedding_dim: int = Field(200, gt=0, description="width of embeddings trained here (Gene2Vec: 200)")
    co_expression: Literal["pearson", "depth", "pmi"] = Field(
        "pearson",
        description="partners of embeddings trained here: by correlation (ours so far), by correlation once the spots' "
        "depth is regressed out, or by pointwise mutual information of presence",
    )
    names: Path | None = Field(
        None, description="csv `alias,symbol` (aliases, Ensembl ids) to resolve names that a panel or embeddings lack"
    )
    control: Literal["none", "random", "mean", "permuted"] = Field(
        "none", description="replace the embeddings: random of the same norms, their one mean, or genes exchanged"
    )
    unseen: float = Field(
        0.0, ge=0, lt=1, description="share of the panel kept from training and predicted by its embeddings alone"
    )


class ModelSettings(Settings):
    """Sizes of HAGE. Heads, dropout and hidden widths are ours, since the paper does not give them."""

    embed_dim: int = Field(1024, gt=0, description="d")
    n_heads: int = Field(8, gt=0, description="of the attention to genes")
    feature_dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the frozen features while training")
    attention: Literal["scaled", "cosine", "sparse"] = Field(
        "scaled",
        description="to genes. scaled: as the paper, even in practice; cosine: unit queries and keys, a learned "
        "temperature, gene vectors whitened; sparse: that with 1.5-entmax, most genes at exactly 0 (both ours)",
    )
    serial: float = Field(
        0.0,
        ge=0,
        description="add so much of what the patient's other training sections measured at a spot's place, sections "
        "laid over each other by image; in the predictions of the run, not in exported encoders (ours; 0: off)",
    )
    exports: tuple[Literal["residual", "whitened"], ...] = Field(
        (),
        description="encoder directories for transfer beside the plain one. residual: [x, g(x)], the frozen x kept, "
        "all standardised; whitened: components of g(x), uncorrelated, of unit variance over the training spots (ours)",
    )
    gene_informed: bool = Field(True, description="False: no cross-attention to genes (Table 2, rows I and II)")
    predictor: Literal["mlp", "gene_conditioned"] = Field(
        "mlp", description="mlp (paper), or y_j = <h(z), W g_j> + b_j, in which a gene's identity matters (ours)"
    )
    start: Literal["none", "ridge", "reduced_rank_ridge", "low_rank"] = Field(
        "none",
        description="what predictions begin at, and the predictor adds to (ours). ridge, reduced_rank_ridge: that "
        "prediction, kept; low_rank: reduced-rank ridge as two factors that train, the genes' by their vectors",
    )
    programmes: int = Field(
        0, ge=0, description="attend to so many programmes of the training counts (NMF) in place of genes (ours)"
    )
    regions: int = Field(
        1,
        gt=0,
        description="parts of the features that each ask the genes: 2 for a patch and its surround (ours)",
    )

    @model_validator(mode="after")
    def _heads_divide(self) -> "ModelSettings":
        if self.embed_dim % self.n_heads:
            raise ValueError(f"embed_dim {self.embed_dim} is not a multiple of n_heads {self.n_heads}")
        if not self.gene_informed and (self.programmes or self.regions > 1):
            raise ValueError("programmes and regions shape the attention to genes, and gene_informed is false")
        return self


class LossSettings(Settings):
    """Weights of Eq. 3 and what the terms are taken over."""

    cyclip: float = Field(10.0, ge=0, description="lambda 1, Eq. 1")
    clip_local: float = Field(1.0, ge=0, description="lambda 2, pairs")
    clip_global: float = Field(1.0, ge=0, description="lambda 3, centroids; 0: no hierarchical alignment")
    pcc: float = Field(10.0, ge=0, description="lambda 4, Eq. 2")
    temperature: float = Field(0.07, gt=0, description="of the contrastive terms")
    negative_binomial: float = Field(
        0.0, ge=0, description="of the counts' likelihood, depth as offset; its output is a log rate (ours)"
    )
    section_reversal: float = Field(
        0.0, ge=0, description="of a classifier of the section whose gradient is reversed in the embeddings (ours)"
    )
    pcc_scope: Literal["batch", "section"] = Field(
        "batch", description="take Eq. 2 over the batch (paper), or over each section's spots in it"
    )


class ClusterSettings(Settings):
    """Hierarchical clusters, computed once per split on its training spots."""

    k1: int = Field(30, gt=0, description="clusters of expression")
    k2: int = Field(2, gt=0, description="subclusters of features in each; 1: single-layer")
    expression: Literal["raw", "normalised"] = Field("raw", description="what k-means of k1 sees (paper: raw counts)")
    centroids: Literal["batch", "dataset"] = Field(
        "batch", description="means over the batch, or over a memory bank of the whole training split"
    )


class TrainSettings(Settings):
    """Optimisation."""

    epochs: int = Field(15, gt=0, description="at most")
    patience: int = Field(5, gt=0, description="stop after so many epochs without gain of validation PCC")
    batch_size: int = Field(128, ge=2, description="spots a step")
    learning_rate: float = Field(1e-4, gt=0, description="of Adam, at first")
    weight_decay: float = Field(1e-5, ge=0, description="of Adam")
    snapshots: int = Field(1, gt=0, description="average the weights of so many best epochs (1: the best one)")
    step_size: int = Field(10, gt=0, description="StepLR: epochs between decays")
    gamma: float = Field(0.5, gt=0, le=1, description="StepLR: factor of a decay")
    precision: Precision = Field(
        "float32", description="of the networks' products (bf16, fp16 on accelerators alone); losses are float32"
    )
    deterministic: bool = Field(
        False, description="the same numbers to the bit at each run on an accelerator; slower (the CPU's always are)"
    )


class FoldSettings(Settings):
    """Which sections train and which test."""

    unit: Literal["patient", "section"] = Field(
        "patient", description="leave one patient out, or one section (other sections of its patient then train)"
    )
    held_out: tuple[str, ...] | None = Field(None, description="units to hold out in turn; None: every one")
    train: tuple[str, ...] | None = Field(None, description="sections that may train; None: all that are not held out")
    validation: float = Field(0.2, gt=0, lt=1, description="share of the training spots kept for validation (4:1)")
    validation_by: Literal["spot", "section"] = Field(
        "spot", description="draw validation spots at random (paper), or keep whole sections for it (stricter)"
    )

    @field_validator("held_out", "train")
    @classmethod
    def _named_once(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names is not None and (not names or len(set(names)) < len(names)):
            raise ValueError("names at least one, each once; leave the key out for all")
        return names


class PretrainConfig(Settings):
    """Everything that decides a pretraining run."""

    data: SectionsSettings
    features: Path = Field(Path("features/st"), description="folder of one feature file per section")
    patch: PatchSettings = PatchSettings()
    encoder: EncoderSettings = EncoderSettings()
    context: ContextSettings = ContextSettings()
    pixels: PixelSettings = PixelSettings()
    image_encoder: ImageEncoderSettings = ImageEncoderSettings()
    genes: GeneSettings = GeneSettings()
    preset: Literal["spot_log10", "spot_ln", "gene_log10"] = Field("spot_log10", description="normalisation")
    heg_from: Literal["train", "test"] = Field(
        "train", description="which section's means pick the 50 highly expressed genes; `test` is the field's rule"
    )
    model: ModelSettings = ModelSettings()
    loss: LossSettings = LossSettings()
    clusters: ClusterSettings = ClusterSettings()
    train: TrainSettings = TrainSettings()
    split: FoldSettings = FoldSettings()
    trials: int = Field(5, gt=0, description="trainings of each fold, each with a seed of its own")
    methods: tuple[MethodName, ...] = Field(
        ("hage",), description="HAGE and compared systems; the ridges, constants and spot depth always run"
    )
    variants: dict[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$")], dict[str, Any]] = Field(
        {}, description="HAGE with other settings, by name: dotted keys and their values"
    )
    controls: Literal["none", "cheap", "all"] = Field(
        "cheap",
        description="encoders that a gain downstream must stand beside. cheap: frozen_standardised, untrained, pca and "
        "expression, which train no network; all: shuffled too, HAGE trained again on shuffled expression",
    )
    seed: int = Field(0, ge=0, lt=2**32, description="of splits, weights, gene embeddings and clusters")

    @field_validator("methods")
    @classmethod
    def _methods_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("names each method once")
        return names

    @model_validator(mode="after")
    def _controls_stand_beside_hage(self) -> "PretrainConfig":
        if self.controls == "all" and "hage" not in self.methods:
            raise ValueError("controls all trains HAGE on shuffled expression, and methods has no hage; add it")
        return self

    @model_validator(mode="after")
    def _start_knows_features_and_genes(self) -> "PretrainConfig":
        if self.model.start != "none" and (self.image_encoder.adapt != "none" or self.genes.unseen):
            raise ValueError(
                f"model.start {self.model.start} is a ridge of fixed features on the panel's genes; set "
                "image_encoder.adapt none and genes.unseen 0, or model.start none"
            )
        return self

    @model_validator(mode="after")
    def _adapted_images_are_single_patches(self) -> "PretrainConfig":
        encoder = self.encoder
        if self.image_encoder.adapt == "none":
            return self
        wanted = {
            "controls none (they stand on frozen features; a run without adapt makes them)": self.controls == "none",
            "encoder.surround false, encoder.views 1": not encoder.surround and encoder.views == 1,
            "encoder.adapter left out": encoder.adapter is None,
            "no context": not (self.context.neighbours or self.context.standardise),
        }
        if not all(wanted.values()):
            raise ValueError(f"image_encoder.adapt lora wants {'; '.join(k for k, v in wanted.items() if not v)}")
        return self

    @model_validator(mode="after")
    def _variants_hold(self) -> "PretrainConfig":
        for name in self.variants:
            if is_taken(name):
                raise ValueError(f"variant {name}: is a name of the results already; give another")
            self.variant(name)
        return self

    @property
    def adapts(self) -> bool:
        """Whether HAGE or a variant of it trains adapters of the image encoder."""
        return any(one.image_encoder.adapt != "none" for one in (self, *map(self.variant, self.variants)))

    def variant(self, name: str) -> "PretrainConfig":
        """This config with the changes of one variant.

        Raises:
            ValueError: a key that a variant may not change, an unknown key or a wrong value.
        """
        tree = {**self.model_dump(mode="python", exclude={"variants", "methods"}), "controls": "none"}
        for key, value in self.variants[name].items():
            if not key.startswith(VARIANT_KEYS):
                raise ValueError(
                    f"variant {name}: may not change {key}, but keys of {', '.join(VARIANT_KEYS)}; "
                    "other keys need a run of their own"
                )
            _set(tree, key, value)
        try:
            return PretrainConfig.model_validate(tree)
        except ValidationError as error:
            raise ValueError(f"variant {name}: {describe_faults(PretrainConfig, error)}") from None


def _set(tree: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        child = tree.get(parent)
        if not isinstance(child, dict):
            raise ValueError(f"no key {key}")
        tree = child
    tree[last] = value
