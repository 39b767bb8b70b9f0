import json

import pytest
import torch

from hage_transfer import GeneInformedEncoder
from hage_transfer.errors import DataError, WeightsError

CARD = {"frozen_encoder": "embedded", "frozen_encoder_licence": "Apache-2.0", "panel": ["ERBB2", "KRT8", "CD3E"]}


@pytest.fixture
def encoder() -> GeneInformedEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = GeneInformedEncoder(torch.randn(3, 6), feature_dim=5, embed_dim=8, n_heads=2)
    encoder.set_feature_scale(torch.arange(5.0), torch.tensor([1.0, 2.0, 0.0, 1.0, 1.0]))
    return encoder.eval()


def test_embeddings_have_the_embedding_width(encoder):
    assert encoder(torch.randn(4, 5)).shape == (4, 8)


def test_an_embedding_does_not_depend_on_its_batch(encoder):
    features = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(encoder(features)[2:3], encoder(features[2:3]))


def test_permuting_genes_changes_nothing(encoder):
    """GE is invariant to the order of genes by construction: no control of that kind can speak."""
    features = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    before = encoder(features)
    encoder.gene_embeddings = encoder.gene_embeddings[[2, 0, 1]]
    torch.testing.assert_close(encoder(features), before)


def test_other_genes_change_the_embedding(encoder):
    features = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    before = encoder(features)
    encoder.gene_embeddings = encoder.gene_embeddings + 1
    assert not torch.allclose(encoder(features), before)


def test_a_constant_feature_is_only_centred(encoder):
    assert encoder.feature_std.tolist() == [1, 2, 1, 1, 1]


def test_features_are_standardised_before_anything_else(encoder):
    raw = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    plain = GeneInformedEncoder(encoder.gene_embeddings, feature_dim=5, embed_dim=8, n_heads=2).eval()
    plain.load_state_dict(encoder.state_dict())
    plain.set_feature_scale(torch.zeros(5), torch.ones(5))
    torch.testing.assert_close(plain((raw - encoder.feature_mean) / encoder.feature_std), encoder(raw))


def test_a_round_trip_keeps_embeddings_and_card(encoder, tmp_path):
    encoder.save_pretrained(tmp_path / "encoder", card=CARD)
    again = GeneInformedEncoder.from_pretrained(tmp_path / "encoder")
    features = torch.randn(4, 5)
    torch.testing.assert_close(again(features), encoder(features))
    assert again.card["panel"] == CARD["panel"]
    assert not again.training


def test_a_round_trip_without_genes(tmp_path):
    encoder = GeneInformedEncoder(None, feature_dim=5, embed_dim=8, n_heads=2).eval()
    encoder.save_pretrained(tmp_path / "encoder", card=CARD)
    again = GeneInformedEncoder.from_pretrained(tmp_path / "encoder")
    features = torch.randn(4, 5)
    torch.testing.assert_close(again(features), encoder(features))
    with pytest.raises(ValueError, match="attends to no genes"):
        again.gene_attention(features)


def test_gene_attention_rows_sum_to_one(encoder):
    weights = encoder.gene_attention(torch.randn(4, 5))
    assert weights.shape == (4, 2, 3)
    torch.testing.assert_close(weights.sum(-1), torch.ones(4, 2))


def test_saving_leaves_no_temporary_folder(encoder, tmp_path):
    encoder.save_pretrained(tmp_path / "encoder", card=CARD)
    encoder.save_pretrained(tmp_path / "encoder", card=CARD)
    assert [path.name for path in tmp_path.iterdir()] == ["encoder"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nothing-here.*`pretrain`"):
        GeneInformedEncoder.from_pretrained(tmp_path / "nothing-here")


def test_a_hub_name_without_network_says_what_to_do(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="somebody/hage"):
        GeneInformedEncoder.from_pretrained("somebody/hage")


def test_weights_that_do_not_fit_the_config_are_refused(encoder, tmp_path):
    encoder.save_pretrained(tmp_path / "encoder", card=CARD)
    config = tmp_path / "encoder" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "embed_dim": 16}))
    with pytest.raises(DataError, match=r"encoder.*do not fit config\.json"):
        GeneInformedEncoder.from_pretrained(tmp_path / "encoder")


def test_weights_that_are_no_numbers_are_refused(encoder, tmp_path):
    with torch.no_grad():
        encoder.project_features.weight[0, 0] = torch.nan
    encoder.save_pretrained(tmp_path / "encoder", card=CARD)
    with pytest.raises(DataError, match=r"project_features\.weight hold NaN or infinity; copy or train it again"):
        GeneInformedEncoder.from_pretrained(tmp_path / "encoder")


def test_damaged_weights_are_refused(encoder, tmp_path):
    encoder.save_pretrained(tmp_path / "encoder", card=CARD)
    (tmp_path / "encoder" / "model.safetensors").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(DataError, match="cannot be read as safetensors"):
        GeneInformedEncoder.from_pretrained(tmp_path / "encoder")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"n_heads": 3}, "embed_dim a multiple of n_heads"),
        ({"n_heads": 0}, "sizes above 0"),
        ({"schema_version": 2}, "newer than this program's 1; upgrade"),
        ({"schema_version": "1"}, "no whole number"),
    ],
)
def test_a_config_of_odd_sizes_or_of_a_later_version_is_refused(encoder, tmp_path, changed, told):
    encoder.save_pretrained(tmp_path / "encoder", card=CARD)
    config = tmp_path / "encoder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changed))
    with pytest.raises(DataError, match=told):
        GeneInformedEncoder.from_pretrained(tmp_path / "encoder")


@pytest.mark.parametrize("kind", ["cosine", "sparse"])
def test_a_round_trip_keeps_an_attention_of_our_own(tmp_path, kind):
    encoder = GeneInformedEncoder(torch.randn(3, 6), feature_dim=5, embed_dim=8, n_heads=2, attention=kind).eval()
    encoder.save_pretrained(tmp_path / "encoder", card=CARD)
    again = GeneInformedEncoder.from_pretrained(tmp_path / "encoder")
    features = torch.randn(4, 5)
    torch.testing.assert_close(again.gene_attention(features), encoder.gene_attention(features))


def test_one_region_asks_as_the_patch_and_two_equal_ones_as_either_half():
    torch.manual_seed(0)
    genes, half = torch.randn(3, 6), torch.randn(4, 5)
    encoder = GeneInformedEncoder(genes, feature_dim=10, embed_dim=8, n_heads=2, regions=2).eval()
    with torch.no_grad():
        encoder.project_features.weight[:, 5:] = encoder.project_features.weight[:, :5]
    single = GeneInformedEncoder(genes, feature_dim=5, embed_dim=8, n_heads=2).eval()
    single.load_state_dict(
        {name: one for name, one in encoder.state_dict().items() if name != "n_regions"}
        | {
            "feature_mean": torch.zeros(5),
            "feature_std": torch.ones(5),
            "project_features.weight": encoder.project_features.weight[:, :5],
            "project_features.bias": encoder.project_features.bias / 2,
        }
    )
    both = torch.cat([half, half], dim=1)
    torch.testing.assert_close(encoder.gene_attention(both), single.gene_attention(half))
    patches, added = encoder.with_genes(both)
    torch.testing.assert_close(added, single.with_genes(half)[1])
    torch.testing.assert_close(patches, 2 * single.with_genes(half)[0])


def test_programmes_are_attended_in_place_of_genes_and_told_as_genes():
    torch.manual_seed(0)
    genes = torch.randn(4, 6)
    shares = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.25, 0.75]])
    encoder = GeneInformedEncoder(genes, feature_dim=5, embed_dim=8, n_heads=2, programmes=shares).eval()
    plain = GeneInformedEncoder(shares @ genes, feature_dim=5, embed_dim=8, n_heads=2).eval()
    state = {name: one for name, one in encoder.state_dict().items() if name not in ("programmes", "gene_embeddings")}
    plain.load_state_dict(state | {"gene_embeddings": shares @ genes})
    rows = torch.randn(3, 5)
    torch.testing.assert_close(encoder(rows), plain(rows))
    tokens = encoder.token_attention(rows)
    torch.testing.assert_close(tokens, plain.gene_attention(rows))
    torch.testing.assert_close(encoder.gene_attention(rows)[..., :2], tokens[..., :1].expand(3, 2, 2) / 2)
