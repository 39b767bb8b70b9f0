import pytest
import yaml

import hage_transfer as ht
from hage_transfer.door.recipes import (
    TASKS,
    find_recipe,
    recipe_keys,
    recipe_stem,
    resolve_config,
    resolve_config_of_any_task,
)
from hage_transfer.mil.config import MilConfig
from hage_transfer.probes.config import ProbeConfig

KEYS = {"data": {"layout": "features", "root": "bags", "labels": "labels.csv"}, "train": {"epochs": 3}}


@pytest.fixture
def forms(tmp_path):
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(KEYS))
    return [tmp_path / "a.yaml", str(tmp_path / "a.yaml"), KEYS, MilConfig.model_validate(KEYS)]


def test_a_config_is_the_same_in_each_of_its_forms(forms):
    assert len({resolve_config(MilConfig, form).model_dump_json() for form in forms}) == 1


@pytest.mark.parametrize("changes", [{"train": {"epochs": 5}}, {"train.epochs": 5}, ["train.epochs=5"]])
def test_changes_are_the_same_in_each_of_theirs(forms, changes):
    for form in forms:
        assert resolve_config(MilConfig, form, changes).train.epochs == 5


@pytest.mark.parametrize("wrong", [{"trian": {"epochs": 5}}, {"trian.epochs": 5}, ["trian.epochs=5"]])
def test_a_wrong_key_names_the_nearest_in_each_form(forms, wrong):
    for form in forms:
        with pytest.raises(ht.ConfigError, match=r"unknown key trian \(nearest valid key: train\)"):
            resolve_config(MilConfig, form, wrong)
    with pytest.raises(ht.ConfigError, match="nearest valid key: train"):
        resolve_config(MilConfig, {**KEYS, "trian": 1})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("tcga_brac", "nearest recipe is .*tcga_brca"),
        ("nowhere.yaml", r"nowhere\.yaml: no such config"),
        (ProbeConfig(), "wanted a MilConfig, this is a ProbeConfig"),
        (7, "this is a int"),
        (["a"], "this is a list"),
    ],
)
def test_what_is_no_config_is_told(config, message):
    with pytest.raises(ht.ConfigError, match=message):
        resolve_config(MilConfig, config)


def test_a_recipe_is_found_by_its_task_or_by_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ucsb").mkdir()  # a folder of data of this name is no recipe
    assert find_recipe("ucsb", MilConfig) == find_recipe("mil/ucsb")
    assert find_recipe("ucsb", ProbeConfig) == find_recipe("probes/ucsb")
    assert find_recipe("tcga_brca") == find_recipe("mil/tcga_brca", ProbeConfig)
    with pytest.raises(ht.ConfigError, match="several recipes are called ucsb"):
        find_recipe("ucsb")
    assert [recipe_stem(one, "run") for one in ("demo/mil", tmp_path / "x.yaml", KEYS)] == ["mil", "x", "run"]


def test_every_recipe_is_listed_with_what_it_is_about_and_is_a_config():
    table = ht.recipes()
    assert (table["about"].str.len() > 20).all()
    models = {**TASKS, "probes": TASKS["probe"]}
    for name in table["name"]:
        folder, _, rest = name.partition("/")
        if not rest.startswith("variants/"):
            model = models.get(folder) or TASKS[rest]
            assert resolve_config_of_any_task(name) == resolve_config(model, name)


@pytest.mark.parametrize(
    ("config", "changes", "said"),
    [
        ({"data": {"root": "x"}}, {}, "may be a config of `pretrain` and of `probe`; give a key"),
        ("mil/tcga_brca", {"trian.epochs": 3}, r"mil/tcga_brca.yaml: unknown key trian \(nearest valid key: train\)"),
        ("mil/tcga_brca", {"model.kind": "abmli"}, "model.kind = 'abmli'"),
        ("probes/pcam", {"split.folds": 0}, "split.folds = 0"),
        ({"tasks": {"a": {"task": "mil", "recipe": "mil/ucsb"}}}, {}, "pretrain is missing"),
    ],
)
def test_a_config_of_no_one_task_is_refused_in_the_words_of_the_nearest(config, changes, said):
    with pytest.raises(ht.ConfigError, match=said):
        resolve_config_of_any_task(config, changes)


def test_a_copy_is_not_written_over(tmp_path):
    path = ht.copy_recipe("mil/ucsb", tmp_path / "new" / "mine.yaml")
    assert path.read_text() == ht.read_recipe("mil/ucsb")
    with pytest.raises(ht.ConfigError, match="is there already"):
        ht.copy_recipe("mil/ucsb", path)


@pytest.mark.parametrize("task", sorted(TASKS))
def test_every_key_is_explained(task):
    keys = recipe_keys(task)
    assert keys.loc[keys["means"] == "", "key"].tolist() == []
    with pytest.raises(ht.ConfigError, match="no task"):
        recipe_keys("tissue")
