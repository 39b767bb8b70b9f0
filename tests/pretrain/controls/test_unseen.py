import gzip

import numpy as np
import pandas as pd
import pytest

from hage_transfer.data.expression import normalise
from hage_transfer.errors import ConfigError
from hage_transfer.pretrain.controls.unseen import set_apart, split_genes
from hage_transfer.pretrain.genes import FoldGenes
from hage_transfer.pretrain.inputs import FoldInputs, fold_inputs, read_inputs


@pytest.fixture
def zero_shot_config(config):
    return config.model_copy(
        update={
            "genes": config.genes.model_copy(update={"unseen": 0.25}),
            "model": config.model.model_copy(update={"predictor": "gene_conditioned"}),
        }
    )


def first_fold(config, folder) -> FoldInputs:
    inputs = read_inputs(config)
    return fold_inputs(inputs, inputs.folds[0], config, run=folder)


def test_every_gene_is_seen_or_unseen_and_a_seed_decides():
    seen, unseen = split_genes(785, share=0.2, seed=0)
    assert len(unseen) == 157
    assert sorted([*seen, *unseen]) == list(range(785))
    np.testing.assert_array_equal(split_genes(785, share=0.2, seed=0)[1], unseen)
    assert set(split_genes(785, share=0.2, seed=1)[1]) != set(unseen)


@pytest.mark.parametrize("share", [0.04, 0.95])
def test_too_few_genes_on_a_side_are_refused(share):
    with pytest.raises(ConfigError, match=r"genes\.unseen = 0\.\d+ of 20 genes.*at least 2"):
        split_genes(20, share=share, seed=0)


def test_genes_keep_their_embeddings():
    genes = FoldGenes(tuple(f"G{i}" for i in range(12)), np.arange(24, dtype=np.float32).reshape(12, 2), "file")
    seen, unseen = set_apart(genes, share=0.25, seed=0)
    assert unseen is not None
    assert (len(seen.symbols), len(unseen.symbols)) == (9, 3)
    for part in (seen, unseen):
        assert [f"G{int(row[0]) // 2}" for row in part.vectors] == list(part.symbols)
    assert set_apart(genes, share=0, seed=0) == (genes, None)


def test_an_mlp_predictor_is_refused_with_the_remedy(config):
    wrong = config.model_copy(update={"genes": config.genes.model_copy(update={"unseen": 0.2})})
    with pytest.raises(ConfigError, match=r"genes\.unseen = 0\.2 needs .* met mlp.*set model\.predictor=gene_cond"):
        read_inputs(wrong)


def test_training_is_normalised_over_seen_genes_alone_and_scores_within_the_panel(
    zero_shot_config, data_root, tmp_path
):
    data = first_fold(zero_shot_config, tmp_path / "run").data("spot_log10")
    assert data.unseen is not None
    assert set(data.genes).isdisjoint(data.unseen.symbols)
    tables = {
        name: pd.read_csv(data_root / "ST-cnts" / f"{name}.tsv.gz", sep="\t", index_col=0) for name in ("B1", "A2")
    }
    train_rows, test_rows = data.train.rows_of("B1"), data.test.rows_of("A2")
    spots = [
        [part.spot_names[row] for row in rows] for part, rows in ((data.train, train_rows), (data.test, test_rows))
    ]
    seen = normalise(tables["B1"].loc[spots[0], list(data.genes)].to_numpy(), "spot_log10")
    np.testing.assert_allclose(data.train.target[train_rows], seen, rtol=1e-6)
    whole = normalise(tables["A2"].loc[spots[1]].to_numpy(), "spot_log10")
    columns = tables["A2"].columns.get_indexer(list(data.unseen.symbols))
    np.testing.assert_allclose(data.unseen.test_target[test_rows], whole[:, columns], rtol=1e-6)


def test_counts_of_unseen_genes_do_not_reach_what_trains(zero_shot_config, data_root, tmp_path):
    """With embeddings from a file; co-expression embeddings have read the training sections' counts."""
    embeddings = tmp_path / "gene2vec.txt"
    table = np.random.default_rng(0).normal(size=(40, 8)).round(4)
    embeddings.write_text("\n".join(f"GENE{i}\t{' '.join(map(str, row))}" for i, row in enumerate(table)))
    settings = zero_shot_config.model_copy(
        update={"genes": zero_shot_config.genes.model_copy(update={"embeddings": embeddings})}
    )
    before = first_fold(settings, tmp_path / "before").data("spot_log10")
    assert before.unseen is not None
    for name in ("B1", "B2", "A2", "A3"):
        path = data_root / "ST-cnts" / f"{name}.tsv.gz"
        counts = pd.read_csv(path, sep="\t", index_col=0)
        counts[list(before.unseen.symbols)] += 50
        with gzip.open(path, "wt") as file:
            counts.to_csv(file, sep="\t")
    after = first_fold(settings, tmp_path / "after").data("spot_log10")
    assert after.unseen is not None
    for part in ("features", "counts", "target"):
        np.testing.assert_array_equal(getattr(before.train, part), getattr(after.train, part))
    np.testing.assert_array_equal(before.gene_vectors, after.gene_vectors)
    assert (before.unseen.test_target != after.unseen.test_target).any()
