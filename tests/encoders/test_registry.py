import pytest

from hage_transfer.config import EncoderSettings
from hage_transfer.encoders.registry import check_name, encoder_names, entries, find_weights, load_encoder
from hage_transfer.errors import ConfigError, WeightsError

HUB_NAMES = ["uni", "uni2-h", "virchow2", "gigapath", "h-optimus-0"]


@pytest.fixture
def empty_hub(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def test_encoder_names_are_the_documented_ones():
    assert encoder_names()[:6] == ["embedded", *HUB_NAMES]
    assert {"virchow", "h-optimus-1", "h0-mini", "phikon-v2", "midnight-12k"} < set(encoder_names())


def test_check_name_unknown_names_the_nearest():
    with pytest.raises(WeightsError, match=r"unnni.*nearest: uni;"):
        check_name("unnni")


def test_check_name_unknown_timm_model_names_the_nearest():
    with pytest.raises(WeightsError, match="nearest: timm:resnet18"):
        check_name("timm:resnett18")


@pytest.mark.parametrize("name", [*HUB_NAMES, "timm:resnet10t"])
def test_load_encoder_missing_weights_says_how_to_get_them(empty_hub, name):
    with pytest.raises(WeightsError, match=r"HF_HUB_OFFLINE is set.*hf auth login.*set encoder\.weights="):
        load_encoder(EncoderSettings(name=name), device="cpu")


def test_load_encoder_absent_local_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"absent\.bin: no such file"):
        load_encoder(EncoderSettings(name="uni", weights=tmp_path / "absent.bin"), device="cpu")


def test_load_encoder_absent_device_lists_those_here():
    with pytest.raises(ConfigError, match=r"device=cuda:99: not on this machine, which has .*cpu"):
        load_encoder(EncoderSettings(), device="cuda:99")


def test_find_weights_reads_the_hub_cache_without_asking(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--MahmoodLab--UNI"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    file = repository / "snapshots" / "abc" / "pytorch_model.bin"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    assert find_weights(EncoderSettings(name="uni")).path == file
    assert {entry.name for entry in entries() if entry.at_hand} == {"embedded", "uni"}


def test_entries_state_the_licences():
    licences = {entry.name: entry.licence for entry in entries()}
    assert licences["uni"] == licences["uni2-h"] == licences["virchow2"] == "CC-BY-NC-ND-4.0"
    assert licences["embedded"] == licences["h-optimus-0"] == "Apache-2.0"
    assert "non-commercial" in licences["gigapath"]
