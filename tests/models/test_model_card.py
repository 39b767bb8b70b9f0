import pytest
import yaml

from hage_transfer.models.checkpoint import add_to_card, read_card
from hage_transfer.models.model_card import forbids_derivatives, model_card

CARD = {
    "feature_dim": 1024,
    "embed_dim": 512,
    "frozen_encoder": "uni",
    "frozen_encoder_licence": "CC-BY-NC-ND-4.0",
    "frozen_encoder_sha256": "56ef09b4",
    "frozen_encoder_hub": "MahmoodLab/UNI",
    "panel": ["ERBB2", "KRT8"],
    "train_sections": ["B1", "B2"],
    "train_spots": 1234,
    "held_out_sections": ["C1"],
}
HELD_OUT = {
    "scores": {
        "trial": {"pcc_all": 0.21449, "mse": 0.19},
        "ridge": {"pcc_all": 0.2351, "mse": None},
        "gene_median": {"mae": 0.3233},
    },
    "warnings": ["ridge beats HAGE on pcc_all"],
}


def front_matter(card: dict) -> dict:
    return yaml.safe_load(model_card(card).split("---\n")[1])


def test_card_puts_held_out_scores_beside_the_baselines_and_their_warnings():
    text = model_card({**CARD, "held_out": HELD_OUT})
    assert "| this encoder | 0.214 |  | 0.190 |  |" in text
    assert "| ridge on the same features | 0.235 |  |  |  |" in text
    assert "| gene median of the training spots |  |  |  | 0.323 |" in text
    assert "- ridge beats HAGE on pcc_all" in text


def test_card_without_scores_says_so():
    assert "None yet" in model_card(CARD)


def test_card_names_what_it_was_trained_on_and_the_frozen_weights():
    text = model_card(CARD)
    for fact in ("B1, B2 (1,234 spots)", "56ef09b4", "https://huggingface.co/MahmoodLab/UNI", "1024", "C1"):
        assert fact in text


@pytest.mark.parametrize(
    ("licence", "front"),
    [
        ("CC-BY-NC-ND-4.0", {"license": "cc-by-nc-nd-4.0"}),
        ("Apache-2.0", {"license": "apache-2.0"}),
        (
            "Apache-2.0; hub access for non-commercial research, see model card",
            {"license": "other", "license_name": "as-uni", "license_link": "https://huggingface.co/MahmoodLab/UNI"},
        ),
    ],
)
def test_front_matter_carries_the_frozen_encoders_licence(licence, front):
    found = front_matter({**CARD, "frozen_encoder_licence": licence})
    assert {key: found[key] for key in front} == front
    assert found["base_model"] == "MahmoodLab/UNI"
    assert found["library_name"] == "hage-transfer"


def test_front_matter_holds_whatever_a_name_contains():
    found = front_matter({**CARD, "frozen_encoder": "timm: {a}\n- b", "frozen_encoder_licence": "own: #1"})
    assert found["license"] == "other"


def test_card_of_a_licence_without_derivatives_asks_for_permission():
    assert "needs their permission" in model_card(CARD)
    assert "needs their permission" not in model_card({**CARD, "frozen_encoder_licence": "Apache-2.0"})
    assert "not recorded" in model_card({**CARD, "frozen_encoder_licence": "unknown"})


@pytest.mark.parametrize(
    ("licence", "forbids"),
    [("CC-BY-NC-ND-4.0", True), ("cc-by-nd", True), ("no derivatives", True), ("Apache-2.0", False), ("and", False)],
)
def test_no_derivatives_is_read_from_the_licences_name(licence, forbids):
    assert forbids_derivatives(licence) is forbids


def test_adding_to_a_card_twice_is_as_once(save):
    folder = save()
    add_to_card(folder, {"held_out": HELD_OUT})
    once = {path.name: path.read_bytes() for path in folder.iterdir()}
    add_to_card(folder, {"held_out": HELD_OUT})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == once
    assert read_card(folder)["held_out"] == HELD_OUT
    assert "0.214" in (folder / "README.md").read_text()
