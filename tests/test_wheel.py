"""A wheel holds one package, its recipes and its types, and works where no checkout is."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_wheel_holds_one_package_with_recipes_and_types(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"hage_transfer"}
    for wanted in (
        "py.typed",
        "report/words.md",
        "mil/config.py",
        "probes/config.py",
        "pretrain/config.py",
        "recipes/mil/tcga_brca.yaml",
    ):
        assert f"hage_transfer/{wanted}" in names


@pytest.mark.slow
def test_recipes_are_found_by_name_where_no_checkout_is(wheel, tmp_path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = "import sys; from hage_transfer.cli.main import run; sys.exit(run(sys.argv[1:]))"

    def hage(*words):
        command = [sys.executable, "-c", code, *words]
        return subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(site)}, capture_output=True, text=True)

    listed = hage("recipes")
    assert listed.returncode == 0
    assert "tcga_brca" in listed.stdout
    told = hage("mil", "tcga_brca", "--set", "data.root=none", "--set", "data.labels=none.csv")
    assert told.returncode == 2
    assert "data.root = none: no such file or folder" in told.stderr  # so the recipe was found
    assert "no such config" not in told.stderr
