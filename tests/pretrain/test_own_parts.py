"""Gene embeddings and systems that a caller gives as Python objects."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import hage_transfer as ht
from hage_transfer.data.gene2vec import gene2vec_text, read_gene2vec
from hage_transfer.data.gene_embeddings import made_embeddings
from hage_transfer.errors import ConfigError, DataError, ItemsFailedError
from hage_transfer.pretrain.methods.base import Trained

GENES = [f"GENE{number}" for number in range(40)]
VECTORS = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
SHORT = {"trials": 1, "split": {"held_out": ["A"]}, "controls": "none"}


class Share:
    """A system: the training mean, shifted by what it holds."""

    name, title, stochastic = "share", "Lab's share", False

    def __init__(self, shift=0.5):
        self.shift = np.array([shift])

    def fit(self, task):
        mean = task.data.train.target[task.rows].mean(0) + self.shift * task.data.train.target.std(0)
        rows = {part: len(getattr(task.data, part).features) for part in ("train", "test")}
        return Trained(*(np.tile(mean, (rows[part], 1)) for part in ("train", "test")), validation_pcc=0.0)


@pytest.mark.parametrize(
    "form",
    [
        dict(zip(GENES, VECTORS, strict=True)),
        pd.DataFrame(VECTORS, index=GENES),
        (GENES, VECTORS.astype(np.float64)),
        SimpleNamespace(symbols=GENES, vectors=VECTORS.tolist()),
        lambda: (GENES, VECTORS),
    ],
    ids=["mapping", "DataFrame", "pair", "object", "function"],
)
def test_gene_embeddings_of_every_form_are_one_file(form, tmp_path):
    text = gene2vec_text(made_embeddings(form, "given", "gene_embeddings"))
    (tmp_path / "g.txt").write_text(text)
    read = read_gene2vec(tmp_path / "g.txt")
    assert read.symbols == tuple(GENES)
    np.testing.assert_array_equal(read.vectors, VECTORS)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({}, "0 symbols and vectors of shape"),
        ({"A": [1, 2], "B": [1]}, "wanted vectors by gene"),
        ({"A": [1, np.nan]}, "a finite row for each symbol"),
        ({"A B": [1, 2]}, "each gene is one word, once; met A B"),
        ((["A", "A"], np.eye(2)), "each gene is one word, once; met A"),
        ((["A"], np.eye(2)), r"1 symbols and vectors of shape \(2, 2\)"),
        (7, "wanted vectors by gene"),
    ],
)
def test_gene_embeddings_that_are_none_are_one_message(form, message, config, tmp_path):
    with pytest.raises(ConfigError, match=rf"gene_embeddings: .*{message}"):
        ht.pretrain(config, gene_embeddings=form, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_objects_are_stamped_and_a_run_goes_on_with_the_same_alone(config, tmp_path):
    given = {"changes": SHORT, "out": tmp_path / "run", "methods": [Share(), "knn"]}
    run = ht.pretrain(config, gene_embeddings=dict(zip(GENES, VECTORS, strict=True)), **given)
    (kept,) = run.folder.glob("given_gene_embeddings_*.txt")
    assert hashlib.sha256(kept.read_bytes()).hexdigest()[:16] in kept.name
    assert set(run.meta["gene_embeddings"].values()) == {kept.name}
    assert {"share", "knn", "ridge"} <= set(run.table().index)
    assert run.meta["methods"]["share"] == {"title": "Lab's share", "reference": "given in Python"}
    (stamp,) = run.meta["own_methods"]
    assert stamp.startswith("own:share:")
    written = (run.folder / "results.json").stat().st_mtime_ns, [*(run.folder / "jobs").rglob("*.h5")]
    again = ht.pretrain(
        config, gene_embeddings=pd.DataFrame(VECTORS, index=GENES), **given | {"methods": [Share(), "knn"]}
    )
    assert again.frame().equals(run.frame())
    assert [*(run.folder / "jobs").rglob("*.h5")] == written[1]
    with pytest.raises(ConfigError, match=r"differs in genes\.embeddings"):
        ht.pretrain(config, gene_embeddings=(GENES, VECTORS + 1), **given)
    same = {"gene_embeddings": (GENES, VECTORS)}
    for other in (Share(0.6), type("Share", (Share,), {"extra": 1})()):
        with pytest.raises(ConfigError, match="differs in methods"):
            ht.pretrain(config, **same, **given | {"methods": [other, "knn"]})
    with pytest.raises(ConfigError, match=r"own:share:\w+ is a system that was given in Python, and it was not given"):
        ht.pretrain(run.folder / "config.yaml", out=run.folder)


@pytest.mark.parametrize(
    ("system", "message"),
    [
        (object(), "is no system; a system has a `name` and a `fit`"),
        (Share, "is no system"),
        (SimpleNamespace(name="hage", fit=print), "a system of the name 'hage'"),
        (SimpleNamespace(name="a b", fit=print), "a system of the name 'a b'"),
    ],
)
def test_what_is_no_system_is_one_message(system, message, config, tmp_path):
    with pytest.raises(ConfigError, match=message):
        ht.pretrain(config, methods=["hage", system], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda task: None, "its fit gave NoneType"),
        (lambda task: Trained(np.zeros((2, 3)), np.zeros((2, 3)), 0.0), r"its train predictions .* shape \(2, 3\)"),
        (lambda task: Trained(task.data.train.target, task.data.test.target * np.nan, 0.0), "its test predictions"),
    ],
)
def test_what_a_system_gives_is_checked(made, message, config, tmp_path):
    with pytest.raises((DataError, ItemsFailedError), match=f"odd: {message}"):
        ht.pretrain(config, methods=[SimpleNamespace(name="odd", fit=made)], changes=SHORT, out=tmp_path / "run")
