"""All encoders of a pretraining run through one task, ranked, resumed, shown and reported."""

import json
from pathlib import Path

import pytest
import torch
import yaml

import hage_transfer as ht
from hage_transfer.cli.main import run as run_command
from hage_transfer.compare.records import Record
from hage_transfer.compare.results import Results
from hage_transfer.config import dump_config
from hage_transfer.door import compare_systems
from hage_transfer.door.run_results import PartOfRun
from hage_transfer.errors import ConfigError, DataError
from hage_transfer.models.blocks import Standardise
from hage_transfer.models.linear import LinearEncoder
from hage_transfer.models.projection import ProjectionEncoder
from hage_transfer.models.section_encoders import HisToGeneEncoder

CARD = {"frozen_encoder": "embedded", "frozen_encoder_sha256": "abc", "frozen_encoder_licence": "Apache-2.0"}


@pytest.fixture
def pretrained(tmp_path: Path) -> Path:
    """A pretraining run of encoders alone, on features of width 5."""
    torch.manual_seed(0)
    images, folder = Standardise(torch.randn(9, 5)), tmp_path / "pretrained"
    encoders = {
        "encoders/A": ht.GeneInformedEncoder(torch.randn(3, 4), feature_dim=5, embed_dim=4, n_heads=2),
        "variants/other/A": ht.GeneInformedEncoder(None, feature_dim=5, embed_dim=4, n_heads=2),
        "systems/bleep/A": ProjectionEncoder(images, 5, embed_dim=4),
        "systems/stnet/A": LinearEncoder(torch.randn(5, 7)),
        "systems/histogene/A": HisToGeneEncoder(images, 5, n_positions=4, width=8, depth=1, n_heads=2),
    }
    for place, encoder in encoders.items():
        encoder.save_pretrained(folder / place / "trial_0", card=CARD)
    Results(
        [Record(task="pretrain", source="hage", split="test", fold="A", trial=None, metric="pcc_all", value=0.2)]
    ).save(folder / "results.json")
    return folder


@pytest.fixture
def config(small, pretrained: Path) -> dict:
    recipe = small.root / "bags.yaml"
    recipe.write_text(yaml.safe_dump(json.loads(json.dumps(small.mil, default=str))))
    return {"pretrain": {"run": str(pretrained)}, "tasks": {"bags": {"task": "mil", "recipe": str(recipe)}}}


def test_every_encoder_of_the_run_competes_and_is_ranked(config: dict, tmp_path: Path):
    found = ht.compare_systems(config, out=tmp_path / "all")
    names = {"frozen", "hage", "other", "bleep", "stnet", "histogene"}
    assert set(found.sources) == names == set(found.rankings()["bags"].index)
    bags = ht.read_results(tmp_path / "all" / "bags")
    for row in found.meta["ranking"]["bags"]:
        values = bags.fold_values(row["source"], "auc")
        assert found.fold_values(row["source"], "auc (bags)") == values
        assert row["mean"] == pytest.approx(sum(values.values()) / 2)
    assert found.meta["sentences"]["bags"].startswith("On slides (bags), ")
    page = ht.report([found, bags], out=tmp_path / "report")
    text = page.markdown.read_text()
    assert "## All systems (all)" in text
    assert "| histogene |" in text


@pytest.mark.slow
def test_a_comparison_that_is_there_is_gone_on_with(config: dict, tmp_path: Path):
    ht.compare_systems(config, out=tmp_path / "all")
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "all/bags").rglob("*.h5")}
    (tmp_path / "all/results.json").unlink()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    assert run_command(["compare", str(tmp_path / "config.yaml"), "--out", str(tmp_path / "all")]) == 0
    assert kept
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_finished_tasks_are_ranked_as_they_are(config: dict, tmp_path: Path):
    first = ht.compare_systems(config, out=tmp_path / "all")
    tasks = {"bags": {"task": "mil", "run": str(tmp_path / "all/bags")}}
    again = ht.compare_systems({**config, "tasks": tasks}, out=tmp_path / "again")
    assert again.meta["ranking"] == first.meta["ranking"]


@pytest.mark.slow
def test_shards_of_tasks_gathered_rank_as_one_call(config: dict, tmp_path: Path):
    whole = ht.compare_systems(config, out=tmp_path / "one")
    parts = [ht.compare_systems(config, out=tmp_path / "all", shard=f"{number}/2") for number in (2, 1)]
    assert [part.n_jobs for part in parts] == [3, 3]
    assert not (tmp_path / "all/bags/results.json").exists()
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "all/bags/jobs").rglob("*.json")}
    assert len(made) == 6
    gathered = ht.compare_systems(config, out=tmp_path / "all")
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert gathered.meta["ranking"] == whole.meta["ranking"]


def test_a_shard_leaves_the_tasks_until_every_encoder_is_there(config: dict, pretrained: Path, tmp_path, monkeypatch):
    asked, left = [], [3]

    def pretend(_, *, out, shard=None, **__):
        asked.append(shard)
        n_left = left.pop() if left else 0
        return (
            ht.read_results(pretrained)
            if shard is None
            else PartOfRun([], {}, folder=out, shard=shard, n_jobs=2, n_left=n_left)
        )

    monkeypatch.setattr(compare_systems, "pretrain", pretend)
    monkeypatch.setattr(compare_systems, "encode_sections", lambda **_: None)
    given = {"config": config | {"pretrain": {"recipe": "her2st"}}, "out": tmp_path / "all", "shard": "1/2"}
    first = ht.compare_systems(**given)
    assert (first.n_jobs, first.n_left, asked) == (2, 3, ["1/2"])
    assert "3 of other shards are not; when all shards are, the same shard again" in repr(first)
    assert not (tmp_path / "all/bags").exists()
    second = ht.compare_systems(**given)
    assert asked == ["1/2", "1/2", None]
    assert (second.n_jobs, second.n_left) == (5, 0)


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"pretrain": {"recipe": "her2st"}}, ConfigError, "exactly one of `recipe` and `run`"),
        ({"tasks.bags.changes": {"split.fold": 2}}, ConfigError, r"nearest valid key: split\.folds"),
        ({"tasks.pretrain": {"task": "mil", "recipe": "ucsb"}}, ConfigError, "is the folder of the pretraining run"),
        ({"pretrain.run": "nowhere"}, DataError, "no such file; is the run finished"),
    ],
)
def test_faults_are_told_before_work(config: dict, tmp_path: Path, changes: dict, error: type, told: str):
    with pytest.raises(error, match=told):
        ht.compare_systems(config, changes=changes, out=tmp_path / "all")
    assert not (tmp_path / "all" / "bags").exists()


def test_a_run_without_encoders_is_refused(config: dict, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    Results(
        [Record(task="pretrain", source="knn", split="test", fold="A", trial=None, metric="pcc_all", value=0.2)]
    ).save(tmp_path / "empty/results.json")
    with pytest.raises(DataError, match="holds no encoder"):
        ht.compare_systems(config, changes={"pretrain.run": str(tmp_path / "empty")}, out=tmp_path / "all")


def test_recipes_of_comparisons_are_whole():
    from hage_transfer.door.compare_config import CompareConfig
    from hage_transfer.door.recipes import resolve_config

    for name in ("compare/ucsb", "demo/compare"):
        assert "tasks:" in dump_config(resolve_config(CompareConfig, name))
