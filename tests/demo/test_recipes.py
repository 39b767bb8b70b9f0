from hage_transfer.config import load_config
from hage_transfer.demo.recipes import demo_recipe
from hage_transfer.mil.config import MilConfig
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.probes.config import ProbeConfig


def test_demo_recipes_are_valid_configs() -> None:
    for task, model in (("pretrain", PretrainConfig), ("probe", ProbeConfig), ("mil", MilConfig)):
        config = load_config(model, demo_recipe(task))
        assert config.encoder.name == "embedded"
