"""The examples of docs/how-to/own-parts.md run, and are what the library takes."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hage_transfer.data.sections import SectionLayout
from hage_transfer.encoders.own import OwnEncoder
from hage_transfer.extensions import Group
from hage_transfer.mil.models import bag_classifier, build_model
from hage_transfer.pretrain.methods.base import Method

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "own-parts.md"


@pytest.fixture(scope="module")
def parts():
    names = {"__name__": "my_parts"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S):
        exec(block, names)
    return names


def test_the_example_parts_are_what_the_library_takes(parts, tmp_path):
    assert OwnEncoder(parts["MeanColour"]())(np.zeros((2, 8, 8, 3), dtype=np.uint8)).shape == (2, 3)
    chosen = bag_classifier(parts["MeanBag"])
    output = build_model(chosen.kind, 4, n_classes=2, own=chosen.make)(torch.zeros(1, 3, 4), torch.ones(1, 3).bool())
    assert output.logits.shape == (1, 2)
    assert len(parts["eye"]()[0]) == len(parts["eye"]()[1])
    assert isinstance(parts["layout"], SectionLayout)
    (tmp_path / "a.labscan").write_text("7")
    assert parts["Flat"](tmp_path / "a.labscan").read(0, 0, 0, 3, 2).shape == (2, 3, 3)
    assert isinstance(parts["method"], Method)
    spots = SimpleNamespace(features=np.zeros((4, 3)), target=np.arange(8.0).reshape(4, 2))
    task = SimpleNamespace(data=SimpleNamespace(train=spots, test=spots), rows=np.array([0, 1]))
    assert parts["method"].fit(task).test.tolist() == [[1.0, 2.0]] * 4


def test_the_page_names_every_group():
    found = set(re.findall(r'entry-points\."hage_transfer\.(\w+)"', PAGE.read_text()))
    assert found == set(Group.__args__)
