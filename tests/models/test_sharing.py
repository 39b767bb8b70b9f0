"""What is uploaded, to whom, and what stops it: the hub's own client against a server on this machine."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hage_transfer import ExpressionModel, GeneInformedEncoder
from hage_transfer.cli.main import run
from hage_transfer.errors import DataError, SharingError
from hage_transfer.models import checkpoint, sharing
from hage_transfer.models.sharing import push_encoder

OPEN, NO_DERIVATIVES = "Apache-2.0", "CC-BY-NC-ND-4.0"
OWN_FILES = {"model.safetensors", "predictor.safetensors", "config.json", "README.md"}


class Hub:
    """A hub that keeps what it is sent. ``refuse``: the status it answers instead; ``private``: of the repository."""

    def __init__(self, address: str) -> None:
        self.address, self.private, self.refuse = address, True, 0
        self.files: dict[str, bytes] = {}
        self.created: list[dict] = []
        self.tokens: set[str | None] = set()


class Answers(BaseHTTPRequestHandler):
    hub: Hub

    def do_GET(self) -> None:
        self.answer({"id": "lab/hage", "private": self.hub.private, "siblings": []})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.hub.tokens.add(self.headers.get("Authorization"))
        if self.hub.refuse:
            self.answer({"error": "You don't have the rights"}, self.hub.refuse)
        elif self.path == "/api/repos/create":
            self.hub.created.append(json.loads(body))
            self.answer({"url": f"{self.hub.address}/lab/hage", "id": "lab/hage"})
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            self.answer({"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]})
        elif "/commit/" in self.path:
            for line in body.decode().splitlines():
                item = json.loads(line)
                if item["key"] == "file":
                    self.hub.files[item["value"]["path"]] = base64.b64decode(item["value"]["content"])
            self.answer({"success": True, "commitUrl": f"{self.hub.address}/lab/hage/commit/1", "commitOid": "1" * 40})
        else:  # the client has the card's front matter checked
            self.answer({"errors": [], "warnings": []})

    def answer(self, tree: dict, status: int = 200) -> None:
        body = json.dumps(tree).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Nothing to stderr."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    made = Hub(f"http://127.0.0.1:{server.server_port}")
    Answers.hub = made
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", made.address)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_of_the_user")
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def folder(save) -> Path:
    return save(card={"frozen_encoder_licence": OPEN})


def test_exactly_the_directorys_own_files_leave(hub, folder):
    (folder / "notes.txt").write_text("patients' names")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "model.safetensors").write_text("something else")
    assert push_encoder(folder, "lab/hage").endswith("/lab/hage")
    assert hub.files == {name: (folder / name).read_bytes() for name in OWN_FILES}


def test_an_uploaded_directory_is_private_unless_said_otherwise(hub, folder):
    push_encoder(folder, "lab/hage")
    push_encoder(folder, "lab/hage", private=False)
    assert [one["private"] if "private" in one else one["visibility"] for one in hub.created] in (
        [True, False],
        ["private", "public"],
    )


def test_a_private_upload_to_a_public_repository_is_refused(hub, folder):
    hub.private = False
    with pytest.raises(SharingError, match=r"lab/hage is there already and public.*public=True"):
        push_encoder(folder, "lab/hage")
    assert not hub.files


def test_the_given_token_goes_before_the_stored_one(hub, folder):
    push_encoder(folder, "lab/hage", token="hf_given")
    assert hub.tokens == {"Bearer hf_given"}


@pytest.mark.parametrize(
    ("licence", "why"), [(NO_DERIVATIVES, "forbids"), ("unknown", "not recorded"), ("", "not recorded")]
)
def test_a_licence_that_forbids_or_is_unknown_stops_before_the_network(hub, save, licence, why):
    folder = save(card={"frozen_encoder_licence": licence})
    with pytest.raises(SharingError, match=rf"{why}.*licence_allows=True"):
        push_encoder(folder, "lab/hage")
    assert not hub.created and not hub.files
    push_encoder(folder, "lab/hage", allow_derivative=True)
    assert set(hub.files) == OWN_FILES


def test_no_token_says_how_to_get_one(folder, monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(SharingError, match=r"settings/tokens.*hf auth login.*HF_TOKEN"):
        push_encoder(folder, "lab/hage")


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_without_write_access_is_said_so(hub, folder, status):
    hub.refuse = status
    with pytest.raises(SharingError, match="needs write access to lab"):
        push_encoder(folder, "lab/hage")


def test_a_hub_out_of_reach_is_said_so(folder, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SharingError, match="cannot be reached; check the network"):
        push_encoder(folder, "lab/hage", token="hf_x")


def test_a_name_that_is_none_is_refused(hub, folder):
    with pytest.raises(SharingError, match="ORGANISATION/NAME"):
        push_encoder(folder, "a lab/../hage")


def test_a_directory_that_is_not_whole_is_refused(hub, folder):
    (folder / "config.json").unlink()
    with pytest.raises(SharingError, match=r"config\.json is missing"):
        push_encoder(folder, "lab/hage")


def test_push_to_hub_sends_the_directory_it_was_loaded_from(hub, folder):
    GeneInformedEncoder.from_pretrained(folder).push_to_hub("lab/hage")
    assert set(hub.files) == OWN_FILES


def test_push_to_hub_refuses_weights_that_no_directory_holds(hub, folder):
    encoder = GeneInformedEncoder.from_pretrained(folder)
    encoder.feature_mean += 1
    with pytest.raises(DataError, match="holds other weights"):
        encoder.push_to_hub("lab/hage")
    with pytest.raises(DataError, match="lies in no directory"):
        GeneInformedEncoder(None, feature_dim=5, embed_dim=8, n_heads=2).push_to_hub("lab/hage")
    assert not hub.files


def test_revision_and_token_reach_the_hub(folder, monkeypatch):
    asked = []

    def download(name, **options):
        asked.append((name, options["revision"], options["token"]))
        return str(folder)

    monkeypatch.setattr(checkpoint.huggingface_hub, "snapshot_download", download)
    GeneInformedEncoder.from_pretrained("lab/hage", revision="v1", token="hf_x")
    ExpressionModel.from_pretrained("lab/hage", revision="v1", token="hf_x")
    assert asked == [("lab/hage", "v1", "hf_x")] * 2


def test_a_folder_has_no_revision(folder):
    with pytest.raises(DataError, match="has no revision v1"):
        GeneInformedEncoder.from_pretrained(folder, revision="v1")


def test_share_uploads_and_says_how_to_load(hub, folder, capsys):
    assert run(["share", str(folder), "--to", "lab/hage"]) == 0
    assert 'open_encoder("lab/hage")' in capsys.readouterr().out
    assert set(hub.files) == OWN_FILES


def test_share_stops_at_the_licence_with_exit_code_2(hub, save, capsys):
    folder = save(card={"frozen_encoder_licence": NO_DERIVATIVES})
    assert run(["share", str(folder), "--to", "lab/hage", "--dry-run"]) == 2
    assert "--licence-allows" in capsys.readouterr().err
    assert run(["share", str(folder), "--to", "lab/hage", "--licence-allows"]) == 0
    assert set(hub.files) == OWN_FILES


def test_share_dry_run_names_the_files_and_asks_no_network(folder, monkeypatch, capsys):
    monkeypatch.setattr(sharing.huggingface_hub, "HfApi", None)
    assert run(["share", str(folder), "--to", "lab/hage", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in OWN_FILES)


def test_share_dry_run_refuses_what_an_upload_would(folder, capsys):
    assert run(["share", str(folder), "--to", "no name!!", "--dry-run"]) == 2
    assert "ORGANISATION/NAME" in capsys.readouterr().err
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert run(["share", str(folder), "--to", "lab/hage", "--dry-run"]) == 2
    assert "model.safetensors" in capsys.readouterr().err


def test_damaged_weights_do_not_leave(hub, folder):
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"model\.safetensors.*copy it again"):
        push_encoder(folder, "lab/hage", token="t")
    assert not hub.files
