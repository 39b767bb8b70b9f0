import socket

from hage_transfer.cli.main import run


def test_doctor_lists_encoders_with_licence_and_exits_with_0(capsys, monkeypatch, tmp_path):
    from huggingface_hub import constants

    def refuse(*arguments, **options):
        raise AssertionError("doctor asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, weights, licence in (
        ("embedded", " at hand", "Apache-2.0"),
        ("uni ", "not at hand", "CC-BY-NC-ND-4.0"),
        ("virchow2", "not at hand", "CC-BY-NC-ND-4.0"),
        ("h-optimus-0", "not at hand", "Apache-2.0"),
    ):
        assert any(name in line and weights in line and licence in line for line in lines), name
    assert any("device cpu" in line for line in lines)
    assert any("torch" in line for line in lines)
