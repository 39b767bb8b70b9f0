"""Configs: pydantic models over YAML, with dotted overrides and errors that name file, key and nearest valid key.

The classes below are the parts that several tasks share; each task's own config is in its folder
(``pretrain/config.py``, ``probes/config.py``, ``mil/config.py``).
Paths in a config are relative to the folder the command is run in.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    ValidationError,
    model_validator,
)

from hage_transfer.bounded import MAX_YAML_BYTES, BoundsError, parse_yaml, read_text
from hage_transfer.errors import ConfigError, nearest
from hage_transfer.extensions import check_named

_SHOWN = 200
"""Letters of a value that a message shows."""


_SHORT = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
Precision = Annotated[
    Literal["float32", "bfloat16", "float16"],
    BeforeValidator(lambda value: _SHORT.get(value, value) if isinstance(value, str) else value),
]
"""Of products; the short names are taken too."""


class Settings(BaseModel):
    """Base of every config: unknown keys are errors, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TransformSettings(Settings):
    """What the network of an ONNX file wants of images, and gives: what the file itself does not say."""

    input_px: int = Field(gt=0, description="side of the square that the network sees")
    mean: tuple[float, float, float] = Field(description="of red, green and blue, of values in [0, 1]; 0 for none")
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = Field(description="likewise; 1 for none")
    resize_px: int | None = Field(
        None, gt=0, description="the shorter side is resized to it, then the centre is cut; None: input_px"
    )
    interpolation: Literal["bilinear", "bicubic"] = Field("bicubic", description="of the resize, antialiased")
    mpp_um_per_px: float | None = Field(
        None, gt=0, description="resolution that it was trained at; images of another are warned of"
    )
    output: str | None = Field(None, description="name of the output that is taken, where there are several")
    licence: str = Field("unknown", description="of the weights")


class EncoderSettings(Settings):
    """Which frozen encoder makes features, and how."""

    name: str = Field(
        "embedded",
        description="a name of the registry (`hage doctor`), `timm:<model>`, `hf-hub:<owner>/<model>`, or an ONNX file "
        "(`path/to/model.onnx`)",
    )
    transform: TransformSettings | None = Field(
        None, description="of an ONNX file, where no json of its name beside it has these keys"
    )
    weights: Path | None = Field(None, description="local weights file, instead of the hub")
    adapter: Path | None = Field(
        None,
        description="directory of an adapter of it (LoRA), as `hage pretrain` leaves with image_encoder.adapt",
    )
    precision: Precision = Field("float32", description="of the encoder's arithmetic; float16 on accelerators alone")
    batch_size: int = Field(
        64, gt=0, description="images that the device is given at a time, and that a run resumes at"
    )
    readers: int = Field(2, gt=0, description="threads that read and decode ahead of the encoder")
    runtime: Literal["auto", "torch", "onnx"] = Field(
        "auto",
        description="onnx: the embedded encoder on the CPU in float32 by ONNX Runtime, equal to 1e-4 and faster; "
        "auto: so where the extra `onnx` is installed",
    )
    surround: bool = Field(
        False, description="features of a patch's centre and of the whole, side by side; give patches twice as wide"
    )
    views: Literal[1, 8] = Field(
        1, description="8: mean features over flips and quarter turns, at eight times the work"
    )


SECTION_LAYOUTS = ("her2st", "gse144240", "space_ranger", "anndata", "hest", "xenium", "spatialdata")
SectionLayoutName = Annotated[str, AfterValidator(lambda name: check_named(name, SECTION_LAYOUTS, "section_readers"))]


class SectionsSettings(Settings):
    """Spatial-transcriptomics sections: where they are, in which layout, and at which resolution."""

    layout: SectionLayoutName = Field(
        "her2st", description="the form of the data set's files, or the name of an installed reader"
    )
    root: Path = Field(description="folder of the data set (her2st: the one that holds ST-cnts)")
    sections: tuple[str, ...] | None = Field(
        None,
        description="section names; None: those of the field (her2st: without A1, H1 to H3), or all that are there",
    )
    mpp_um_per_px: float | None = Field(
        None, gt=0, description="resolution of the images, 0.05 to 20; None: by the data set, see how-to/formats"
    )
    spot_spacing_um: float | None = Field(
        None,
        gt=0,
        description="centre-to-centre distance of spots, which gives um per px where nothing else does; "
        "her2st, gse144240: in place of their 200",
    )
    bin_um: float | None = Field(
        None,
        gt=0,
        description="Visium HD: the bin size that is read (None: 8); Xenium: side of the bins, the spots (None: 100)",
    )
    min_counts: int = Field(
        0,
        ge=0,
        description="pretraining: spots of fewer counts neither train nor are scored; 0: all (encoding keeps all)",
    )
    max_off_image: float = Field(
        0.05, ge=0, lt=1, description="share of spots that may lie off the image; they are left out and counted"
    )


class PatchSetSettings(Settings):
    """Labelled patches, or labelled images to be cut into tiles. Exactly one of the layouts.

    ``manifest``: csv `path,label[,group]`; ``folder``: `root/<label>/<image>`; ``pattern``: every image under root
    whose relative path matches ``pattern``, a regular expression with a named group `label` (and the one that
    ``group_by`` names); ``pcam``: `camelyonpatch_level_2_split_*` h5 files under root.
    """

    layout: Literal["manifest", "folder", "pattern", "pcam"] = Field("manifest", description="how the set is laid out")
    root: Path = Field(Path(), description="folder of the images; manifest paths are relative to it")
    manifest: Path | None = Field(None, description="csv of the manifest layout")
    pattern: str | None = Field(None, description="regular expression of the pattern layout")
    group_by: str | None = Field(None, description="named group of `pattern` that keeps images on one side of a split")
    tile_px: int | None = Field(None, gt=0, description="cut each image into tiles of this side; None: whole images")
    stride_px: int | None = Field(None, gt=0, description="step between tiles; None: tile_px")


class TissueSettings(Settings):
    """Where a slide's tissue is. `auto` needs no tuning; `clam` is CLAM's method; `geojson` is drawn or edited by hand.

    CLAM's parameters have CLAM's names; those that are not set are the preset's.
    """

    method: Literal["auto", "clam", "geojson"] = Field("auto", description="how tissue is found")
    folder: Path | None = Field(None, description="geojson: folder of <slide>.geojson, level-0 px, as QuPath writes it")
    drop_pen_marks: bool = Field(True, description="auto: leave out blue, green, red and black ink")
    min_piece_um2: float = Field(50_000.0, ge=0, description="auto: least area of a piece of tissue")
    min_hole_um2: float = Field(15_000.0, ge=0, description="auto: least area of a hole; smaller ones are filled")
    preset: Literal["default", "tcga", "biopsy", "resection"] = Field("default", description="clam: whose parameters")
    sthresh: int | None = Field(None, ge=0, le=255, description="clam: saturation above which there is tissue")
    mthresh: int | None = Field(None, gt=0, description="clam: side of the median filter, odd, px of its level")
    close: int | None = Field(None, ge=0, description="clam: side of the closing, px of its level")
    use_otsu: bool | None = Field(None, description="clam: Otsu's threshold in place of sthresh")
    a_t: float | None = Field(None, ge=0, description="clam: least area of a piece, in squares of 512 level-0 px")
    a_h: float | None = Field(None, ge=0, description="clam: least area of a hole, in squares of 512 level-0 px")
    max_n_holes: int | None = Field(None, ge=0, description="clam: holes kept in a piece, the largest first")

    @model_validator(mode="after")
    def _parameters_fit_the_method(self) -> "TissueSettings":
        if self.mthresh is not None and self.mthresh % 2 == 0:
            raise ValueError(f"tissue.mthresh = {self.mthresh}: a median filter's side is odd")
        if self.method == "geojson" and self.folder is None:
            raise ValueError("tissue.folder is missing: method geojson reads <slide>.geojson from it")
        return self


class SlideSetSettings(Settings):
    """Whole slides with one label each, to be cut into tiles of a stated resolution, or of level-0 pixels (CLAM)."""

    layout: Literal["slides"] = Field("slides", description="whole slides")
    root: Path = Field(Path(), description="folder of the slides")
    labels: Path = Field(
        description="csv `slide,label[,group][,mpp]`; slide is the file name with or without its ending, "
        "mpp its level-0 resolution where that must be said"
    )
    mpp_um_per_px: float = Field(0.5, gt=0, description="resolution the encoder sees")
    slide_mpp_um_per_px: float | None = Field(None, gt=0, description="level-0 resolution of slides that record none")
    tile_px: int = Field(224, gt=0, description="side of a tile in the pixels that the encoder sees")
    stride_px: int | None = Field(None, gt=0, description="step between tiles; None: tile_px; below it tiles overlap")
    tile_level0_px: int | None = Field(
        None, gt=0, description="CLAM's way: side of a tile in level-0 pixels, not resampled, in place of mpp_um_per_px"
    )
    min_tissue: float = Field(0.25, ge=0, le=1, description="least share of tissue in a tile")
    tissue: TissueSettings = TissueSettings()

    @model_validator(mode="after")
    def _one_kind_of_tile(self) -> "SlideSetSettings":
        fields = type(self).model_fields
        changed = [name for name in ("mpp_um_per_px", "tile_px") if getattr(self, name) != fields[name].default]
        if self.tile_level0_px is not None and changed:
            raise ValueError(
                f"tile_level0_px (level-0 pixels) and {changed[0]} (resampled) exclude each other; keep one"
            )
        return self


class FeatureSetSettings(Settings):
    """Bags that are encoded already: a folder of feature files (`<slide>.h5`) and a label table."""

    layout: Literal["features"] = Field("features", description="feature files that are there already")
    root: Path = Field(Path(), description="folder of the feature files")
    labels: Path = Field(description="csv `slide,label[,group]`")


class SplitSettings(Settings):
    """Cross-validation of a classifier."""

    folds: int = Field(5, ge=2, description="parts that are tested in turn")
    repeats: int = Field(
        1,
        ge=1,
        description="of the folds, each drawn anew: shorter intervals of the same data for as many times the work",
    )
    by_group: bool = Field(True, description="keep groups (patients, slides) on one side; needs groups in the labels")
    seed: int = Field(0, ge=0, lt=2**32, description="of the draw of folds")


Config = TypeVar("Config", bound=Settings)


Changes = Mapping[str, Any] | Sequence[str]
"""Of a config: keys to values, nested or dotted, or texts ``key.sub=value`` with YAML values."""


def load_config(model: type[Config], path: Path | None, changes: Changes = ()) -> Config:
    """Reads a YAML file into ``model`` and applies ``changes``.

    Raises:
        ConfigError: the file cannot be read; a key is unknown; a value has the wrong type. All faults at once.
    """
    if path is None:
        return make_config(model, {}, changes)
    return make_config(model, read_yaml(path), changes, where=str(path))


def make_config(model: type[Config], tree: Mapping[str, Any], *changes: Changes, where: str = "the config") -> Config:
    """A config of its keys, with ``changes`` in their order; errors as ``load_config``, which begin with ``where``."""
    keys: dict[str, Any] = _plain(tree)
    for change in changes:
        if isinstance(change, Mapping):
            for key, value in _plain(change).items():
                _set(keys, key, value, merge=True)
        else:
            for override in change:
                _set(keys, *_parsed(override))
    try:
        return model.model_validate(keys)
    except ValidationError as error:
        raise ConfigError(f"{where}: {describe_faults(model, error)}") from None


def key_rows(model: type[BaseModel], prefix: str = "") -> list[tuple[str, str, str, str]]:
    """Every key of a config, dotted: its type, its default as YAML and what it means; groups of keys by theirs."""
    rows = []
    for name, field in model.model_fields.items():
        nested = _nested_models(field.annotation)
        key = f"{prefix}{name}"
        if not nested:
            default = "" if field.is_required() else _as_yaml(field.get_default(call_default_factory=True))
            rows.append((key, _type_name(field.annotation), default, field.description or ""))
            continue
        is_table = get_origin(field.annotation) is dict
        for one in nested:
            about = " ".join((one.__doc__ or "").split())
            rows.append((f"{key}.<name>" if is_table else key, "keys", "", field.description or about))
            rows += key_rows(one, f"{key}.<name>." if is_table else f"{key}.")
    return list(dict.fromkeys(rows))


def _as_yaml(value: Any) -> str:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        value = list(value)
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()


def _type_name(annotation: Any) -> str:
    """A type in words of YAML: choices by their values, else its plain name."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(map(str, parts))
    if origin is Annotated:
        return _type_name(parts[0])
    if origin in (tuple, list):
        return f"list of {_type_name(parts[0])}"
    if origin is dict:
        return "mapping"
    if parts:
        return " or ".join(dict.fromkeys(_type_name(part) for part in parts))
    names = {Path: "path", str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "none"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def describe_faults(model: type[BaseModel], error: ValidationError) -> str:
    """Every fault that pydantic found, in one line: key, value, and the nearest valid key."""
    return "; ".join(_describe_fault(model, dict(fault)) for fault in error.errors())


def dump_config(config: Settings) -> str:
    """The config as YAML text, every default written out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def config_sha256(config: Settings | Mapping[str, Any]) -> str:
    """Hash of the resolved values, the same for the same values in any order of keys."""
    tree = config.model_dump(mode="json") if isinstance(config, Settings) else config
    return hashlib.sha256(json.dumps(tree, sort_keys=True, default=str).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Hash of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping; an empty file is an empty one.

    Raises:
        ConfigError: missing, not text, not YAML, or not a mapping.
    """
    try:
        tree = parse_yaml(read_text(path, limit_bytes=MAX_YAML_BYTES))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such config file; recipes to copy are in configs/") from None
    except BoundsError as error:
        raise ConfigError(f"{path}: cannot be read as a config: {error}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: a config is a mapping of keys, this is a {type(tree).__name__}")
    return tree


def _plain(value: Any) -> Any:
    """A value as YAML would have given it: paths and whatever has one as text, numbers of numpy as Python's."""
    if isinstance(value, os.PathLike):  # first: features are a mapping of files, and have a folder
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value.tolist() if hasattr(value, "tolist") else value


def _parsed(override: str) -> tuple[str, Any]:
    key, sign, text = override.partition("=")
    if not sign or not key:
        raise ConfigError(f"changes={override}: wanted key=value, for example train.epochs=5")
    try:
        return key, parse_yaml(text)
    except BoundsError as error:
        raise ConfigError(f"changes={override[:_SHOWN]}: the value is {error}") from None


def _set(tree: dict[str, Any], key: str, value: Any, *, merge: bool = False) -> None:
    """Sets a dotted key; with ``merge``, of a mapping only the keys that it names."""
    *parents, last = key.split(".")
    node = tree
    for parent in parents:
        child = node.setdefault(parent, {})
        if child is None:
            child = node[parent] = {}
        if not isinstance(child, dict):
            raise ConfigError(f"{key} = {value!r}: {parent} is a value, not a group of keys")
        node = child
    node[last] = _merged(node.get(last), value) if merge else value


def _merged(old: Any, new: Any) -> Any:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}


def _describe_fault(model: type[BaseModel], fault: Mapping[str, Any]) -> str:
    location = [str(part) for part in fault["loc"] if part != "[key]"]  # pydantic's mark of a fault in a key itself
    parents, siblings = _follow(model, location[:-1])
    key = ".".join([*parents, *location[-1:]])
    if fault["type"] == "extra_forbidden":
        near = nearest(location[-1], siblings)
        return f"unknown key {key}" + (f" (nearest valid key: {'.'.join([*parents, near[0]])})" if near else "")
    if fault["type"] == "missing":
        return f"{key} is missing; give it in the file or set {key}=..."
    message = str(fault["msg"]).removeprefix("Value error, ")
    if not key:
        return message
    return f"{key} = {_shown(fault['input'])}: {message[:1].lower()}{message[1:]}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _follow(model: type[BaseModel], location: Sequence[str]) -> tuple[list[str], list[str]]:
    """The location without the tags of unions, and the valid keys there."""
    models, path = [model], []
    for part in location:
        field = next((m.model_fields[part] for m in models if part in m.model_fields), None)
        if field is not None:
            path.append(part)
            models = _nested_models(field.annotation)
            continue
        tagged = [m for m in models if part in _tags(m)]
        if tagged:
            models = tagged
        else:
            path.append(part)  # a key of a mapping: the models are those of its values
    return path, [name for m in models for name in m.model_fields]


def _tags(model: type[BaseModel]) -> set[str]:
    return {str(tag) for field in model.model_fields.values() for tag in get_args(field.annotation)}


def _nested_models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _nested_models(part)]
