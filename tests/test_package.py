import ast
import pathlib
import re
import subprocess
import sys
from graphlib import TopologicalSorter

import grimp
import pytest

import hage_transfer
from hage_transfer.errors import ConfigError, HageError, InputError, ItemsFailedError

ROOT = pathlib.Path(hage_transfer.__file__).parents[1]
SOURCES = [
    path for top in ("hage_transfer", "pretrain", "probes", "mil") for path in sorted((ROOT / top).rglob("*.py"))
]


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


def loaded_by(module: str) -> set[str]:
    """What importing a module imports: what stands at the top of its file, and of theirs in turn."""
    found: set[str] = set()
    left = [module]
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        left += [name.rpartition(".")[0]] if "." in name else []
        place = ROOT / name.replace(".", "/")
        path = next((one for one in (place.with_suffix(".py"), place / "__init__.py") if one.is_file()), None)
        for node in ast.parse(path.read_text()).body if path else []:
            if isinstance(node, ast.Import):
                left += [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                left += [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
    return found


@pytest.mark.parametrize("work", ["door.mil_run", "door.probe_run", "apply.run", "explain.run", "encoders.embedded"])
def test_work_on_features_loads_no_library_of_image_networks(work):
    assert loaded_by("hage_transfer.encoders.hub_models") >= {"timm", "torch"}
    assert "torch" in loaded_by(f"hage_transfer.{work}")
    assert not loaded_by(f"hage_transfer.{work}") & {"timm", "torchvision"}


def test_no_constructor_takes_more_than_six_by_place():
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and (count := positional(node)) > 6:
                found.append(f"{path.name}: {node.name} takes {count}")
    assert found == []


def positional(node: ast.ClassDef) -> int:
    """Arguments that a class's constructor takes by place, ``self`` not counted."""
    made = next((one for one in node.body if getattr(one, "name", "") == "__init__"), None)
    if made is not None:
        return len(made.args.posonlyargs + made.args.args) - 1
    marks = [ast.unparse(one) for one in node.decorator_list if "dataclass" in ast.unparse(one)]
    bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
    if (not marks and "NamedTuple" not in bases) or any("kw_only=True" in mark for mark in marks):
        return 0
    fields = [ast.unparse(one.annotation) for one in node.body if isinstance(one, ast.AnnAssign)]
    fields = [one for one in fields if not one.startswith("ClassVar")]
    return fields.index("KW_ONLY") if "KW_ONLY" in fields else len(fields)


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
    pickle = re.compile(r"pickle\.load|allow_pickle\s*=\s*True|weights_only\s*=\s*False|joblib\.load")
    assert len(SOURCES) > 50
    assert [path.name for path in SOURCES if pickle.search(path.read_text())] == []


def test_version_is_the_distributions():
    from importlib.metadata import version

    assert hage_transfer.__version__ == version("hage-transfer")


def test_no_module_of_ours_is_imported_by_a_name_that_another_distribution_may_own():
    ours = (
        "hage_transfer.cli.main, hage_transfer.mil.config, hage_transfer.probes.config, hage_transfer.pretrain.config"
    )
    loaded = python(f"import sys; import {ours}; print(sorted({{'mil', 'probes', 'pretrain'}} & set(sys.modules)))")
    assert loaded.strip() == "[]"


def test_no_module_imports_itself_by_way_of_others_not_even_inside_a_function():
    graph = grimp.build_graph("hage_transfer", cache_dir=None)
    needs = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(needs).prepare()  # CycleError names the circle
