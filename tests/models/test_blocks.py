import torch
from torch.nn import functional

from hage_transfer.models.blocks import (
    GraphAttention,
    GraphSage,
    GridEmbedding,
    ProjectionHead,
    Standardise,
    TransformerBlock,
)

NEIGHBOURS = torch.tensor([[1, 2], [0, -1], [3, 1], [3, -1]])


def test_standardise_takes_statistics_of_what_it_was_given_and_zeroes_constants():
    known = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    torch.testing.assert_close(Standardise(known)(torch.tensor([[5.0, 9.0]])), torch.tensor([[3.0, 0.0]]))


def test_positions_past_the_table_take_its_last_entry():
    embedding = GridEmbedding(3, 4)
    assert torch.equal(embedding(torch.tensor([[9, 1]])), embedding(torch.tensor([[2, 1]])))


def test_transformer_block_equals_attention_written_out():
    torch.manual_seed(0)
    block = TransformerBlock(6, n_heads=2, head_dim=4, hidden=5, dropout=0.0)
    tokens = torch.randn(1, 7, 6)
    q, k, v = (part.reshape(7, 2, 4) for part in block.to_qkv(block.norm(tokens[0])).chunk(3, dim=1))
    heads = [(q[:, h] @ k[:, h].T / 2).softmax(1) @ v[:, h] for h in range(2)]
    middle = tokens[0] + block.to_out(torch.cat(heads, dim=1))
    torch.testing.assert_close(block(tokens)[0], middle + block.perceptron(middle))


def test_transformer_block_is_equivariant_to_the_order_of_spots():
    block = TransformerBlock(6, n_heads=2, head_dim=4, hidden=5, dropout=0.0)
    tokens, order = torch.randn(1, 7, 6), torch.randperm(7)
    torch.testing.assert_close(block(tokens[:, order]), block(tokens)[:, order])


def test_graph_sage_is_the_mean_of_the_neighbours_that_are_there():
    layer, spots = GraphSage(3), torch.rand(4, 3)
    out = functional.relu(layer.linear(torch.stack([(spots[1] + spots[2]) / 2, spots[0], (spots[3] + spots[1]) / 2])))
    torch.testing.assert_close(layer(spots, NEIGHBOURS)[:3], functional.normalize(out, dim=1))


def test_graph_attention_weights_sum_to_one_over_neighbours_that_are_there():
    layer = GraphAttention(3, 5, n_heads=2, dropout=0.0)
    weights = layer.weights(torch.randn(4, 2, 5), NEIGHBOURS)
    torch.testing.assert_close(weights.sum(1), torch.ones(4, 2))
    assert not weights[1, 1].any()


def test_graph_attention_equals_the_dense_formula():
    torch.manual_seed(0)
    layer, spots = GraphAttention(3, 5, n_heads=2, dropout=0.0), torch.randn(4, 3)
    adjacent = torch.zeros(4, 4, dtype=torch.bool)
    for spot, row in enumerate(NEIGHBOURS.tolist()):
        adjacent[spot, [one for one in row if one >= 0]] = True
    outputs = []
    for head in range(2):
        wh = spots @ layer.linear.weight[5 * head : 5 * head + 5].T
        score = (wh @ layer.pair[head, :5])[:, None] + (wh @ layer.pair[head, 5:])[None]
        score = functional.leaky_relu(score, 0.01).masked_fill(~adjacent, -torch.inf)
        outputs.append(score.softmax(1) @ wh)
    torch.testing.assert_close(layer(spots, NEIGHBOURS), torch.cat(outputs, dim=1))


def test_projection_head_adds_its_first_layer_before_the_norm():
    head, rows = ProjectionHead(3, embed_dim=4, dropout=0.0), torch.randn(5, 3)
    first = head.projection(rows)
    expected = functional.layer_norm(first + head.refine[1](functional.gelu(first)), (4,))
    torch.testing.assert_close(head(rows), expected)


def test_graph_attention_heads_start_alone():
    """The bound of Xavier's uniform weights is of one head's fans, so it does not shrink with more heads."""
    layer = GraphAttention(64, 32, n_heads=16, dropout=0.0)
    expected = {layer.linear.weight: (12 / (64 + 32)) ** 0.5, layer.pair: (12 / (64 + 1)) ** 0.5}
    for weight, bound in expected.items():
        assert 0.95 * bound < weight.abs().max() <= bound
