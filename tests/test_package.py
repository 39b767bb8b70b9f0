import subprocess
import sys

import pytest

import hage_transfer
from hage_transfer.errors import ConfigError, HageError, InputError, ItemsFailedError


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("entry", ["import hage_transfer", "import hage_transfer.cli.main"])
def test_import_loads_nothing_heavy(entry):
    heavy = ("torch", "scanpy", "anndata", "pandas", "sklearn", "matplotlib", "h5py", "timm", "lightning", "numpy")
    loaded = python(f"import sys; {entry}; print([name for name in {heavy!r} if name in sys.modules])")
    assert loaded.strip() == "[]"


def test_no_help_loads_what_only_work_needs():
    heavy = "torch scanpy anndata pandas sklearn scipy matplotlib h5py timm lightning numpy pydantic yaml jaxtyping"
    code = f"""
import contextlib, io, sys
from hage_transfer.cli import main
from hage_transfer.cli.groups import Group
def names(command, before=()):
    yield before
    if isinstance(command, Group):
        for name, below in command.commands.items():
            yield from names(below, (*before, name))
for name in names(main.typer.main.get_command(main.app)):
    with contextlib.redirect_stdout(io.StringIO()) as told:
        assert main.run([*name, "--help"]) == 0
    assert "--help" in told.getvalue()
    print("hage", *name, *[one for one in {heavy!r}.split() if one in sys.modules], sep=",")
"""
    told = python(code).splitlines()
    assert len(told) > 30
    assert "hage,encode,slides" in told
    assert [line for line in told if set(line.split(",")) & set(heavy.split())] == []


def test_exported_names_load():
    for name in hage_transfer.__all__:
        assert getattr(hage_transfer, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        hage_transfer.nothing  # noqa: B018


def test_errors_have_one_base_and_two_kinds():
    assert issubclass(ConfigError, InputError)
    assert issubclass(InputError, HageError)
    assert not issubclass(ItemsFailedError, InputError)


def test_no_source_loads_a_pickle():
    import pathlib
    import re

    root = pathlib.Path(hage_transfer.__file__).parents[1]
    sources = [path for top in ("hage_transfer", "pretrain", "probes", "mil") for path in (root / top).rglob("*.py")]
    pickle = re.compile(r"pickle\.load|allow_pickle\s*=\s*True|weights_only\s*=\s*False|joblib\.load")
    assert len(sources) > 50
    assert [path.name for path in sources if pickle.search(path.read_text())] == []


def test_version_is_the_distributions():
    from importlib.metadata import version

    assert hage_transfer.__version__ == version("hage-transfer")


def test_no_module_of_ours_is_imported_by_a_name_that_another_distribution_may_own():
    ours = (
        "hage_transfer.cli.main, hage_transfer.mil.config, hage_transfer.probes.config, hage_transfer.pretrain.config"
    )
    loaded = python(f"import sys; import {ours}; print(sorted({{'mil', 'probes', 'pretrain'}} & set(sys.modules)))")
    assert loaded.strip() == "[]"
