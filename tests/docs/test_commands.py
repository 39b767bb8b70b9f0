"""Every command and every piece of Python in README.md and docs/ is run, or, where its page says why not, checked.

A block that cannot run here stands under a comment ``<!-- not run: why -->``; its commands are then parsed by the real
command line, and recipe and ``--set`` keys by the real config. Everything else runs, on tiny data behind ``/data``.
"""

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

from hage_transfer.cli.main import app, run
from hage_transfer.config import read_yaml
from hage_transfer.door.compare_config import CompareConfig
from hage_transfer.door.recipes import find_recipe, resolve_config
from hage_transfer.mil.config import MilConfig
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.probes.config import ProbeConfig

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
RUNNABLE = ("bash", "python")
CHECKED_PAGES = {
    "docs/pretraining.md": "hours of training, on real files",
    "docs/benchmarks.md": "benchmarks are never timed by tests",
    "docs/real-data.md": "needs the real files",
}
"""Pages none of whose commands runs here."""
CHECKED_STARTS = {
    "make demo": "minutes; tests/cli/test_demo.py runs a smaller one",
    "python3 -m venv": "installs packages",
}
"""Blocks of README.md that begin so are checked; GitHub's first page carries no marks for them."""
MADE_BY_THE_PAGE = {
    "README.md": "runs",
    "docs/how-to/own-st-data.md": "runs/cscc",
    "docs/how-to/tcga-brca.md": "runs/tcga",
}
"""What is there for other pages, and not for the one whose commands make it."""
CONFIGS = {
    **dict.fromkeys(
        ("pretrain", "encode st", "genes panel", "genes embed", "genes coverage", "predict"), PretrainConfig
    ),
    **dict.fromkeys(("probe", "encode patches", "patches check"), ProbeConfig),
    **dict.fromkeys(("mil", "encode slides", "tissue"), MilConfig),
    "compare": CompareConfig,
}
_BLOCK = re.compile(r"(?:<!--\s*not run:\s*(?P<why>[^>]*?)\s*-->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```", re.M | re.S)
_VARIABLES = {"$SLURM_ARRAY_TASK_ID": "1", "$D": "/data", "=...": "=/data"}


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    kind: str
    text: str
    why_not: str | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(path: Path) -> list[Block]:
    text, page = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
    blocks = []
    for found in _BLOCK.finditer(text):
        starts = [
            why for start, why in CHECKED_STARTS.items() if page == "README.md" and found["text"].startswith(start)
        ]
        why_not = found["why"] or CHECKED_PAGES.get(page) or next(iter(starts), None)
        blocks.append(Block(page, text.count("\n", 0, found.start("kind")) + 1, found["kind"], found["text"], why_not))
    return blocks


BLOCKS = [block for path in PAGES for block in blocks_of(path)]


def commands_of(block: Block) -> list[list[str]]:
    """The block's commands as words, without comments; continued lines are one, ``a && b`` are two."""
    joined = block.text.replace("\\\n", " ")
    for name, value in _VARIABLES.items():
        joined = joined.replace(name, value)
    found: list[list[str]] = []
    for line in joined.splitlines():
        words = shlex.split(line, comments=True)
        while words:
            end = words.index("&&") if "&&" in words else len(words)
            found.append(words[:end])
            words = words[end + 1 :]
    return found


def check(words: list[str]) -> None:
    """Demands that a command that is not run could be: the program is known, its options and keys are right."""
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if words and words[0] == "srun":
        words = words[1:]
    if words and words[0] == "sbatch":  # options, a script of the page, a command of ours
        words = ["hage", *words[words.index("hage.sbatch") + 1 :]]
    if not words or words[0].startswith("#") or "$@" in words:
        return
    program = Path(words[0]).name
    if program == "hage":
        check_hage(words[1:])
    elif program == "make":
        targets = (ROOT / "Makefile").read_text()
        assert all(re.search(rf"^{target}:", targets, re.M) for target in words[1:]), words
    elif program == "python" and words[1].endswith(".py"):
        source = (ROOT / words[1]).read_text()
        options = [word for word in words if word.startswith("--")]
        assert all(f'"{option}"' in source for option in options), words
    else:
        assert program in ("pip", "python3", "cd", "hf", "export", "source"), (
            f"{words}: no command that this test knows"
        )


def check_hage(words: list[str]) -> None:
    """Parses as the command line does, without running; loads recipe, overrides and variants."""
    command, name = typer.main.get_command(app), ""
    while hasattr(command, "commands"):
        assert words and words[0] in command.commands, f"hage {name} {words[:1]}: no such command"
        command, name, words = command.commands[words[0]], f"{name} {words[0]}".strip(), words[1:]
    if "--help" in words:
        return
    values = command.make_context(name, list(words)).params
    recipe = values.get("config") or next((p for p in values.get("inputs") or () if str(p).endswith(".yaml")), None)
    if name not in CONFIGS or recipe is None:
        return

    def place(given: str) -> str | Path:
        return ROOT / given if given.endswith(".yaml") else given

    config = resolve_config(CONFIGS[name], place(str(recipe)), values.get("changes") or values.get("set_") or ())
    if values.get("variants"):
        variants = read_yaml(find_recipe(place(values["variants"])))
        PretrainConfig.model_validate({**config.model_dump(), "variants": variants})


def run_bash(block: Block, place) -> None:
    for words in commands_of(block):
        assert Path(words[0]).name == "hage", (
            f"{block}: {words[0]} is not run here; mark the block with <!-- not run: why -->"
        )
        check_hage(words[1:])
        assert words[1] != "view", f"{block}: serves until Ctrl-C; mark the block with <!-- not run: why -->"
        arguments = [place(word) for word in words[1:]]
        if "--jobs" in arguments:
            arguments[arguments.index("--jobs") + 1] = "1"  # processes of their own would each load torch
        assert run(arguments) == 0, f"{block}: {shlex.join(words)}"


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({block.page for block in BLOCKS if block.kind in RUNNABLE}))
def test_every_block_of_a_page_runs(
    page: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = [b for b in BLOCKS if b.page == page and b.kind in RUNNABLE and b.why_not is None]
    if not blocks:
        pytest.skip("every block of this page is marked as not run; they are checked")
    place = request.getfixturevalue("place")
    if page in MADE_BY_THE_PAGE:
        shutil.rmtree(MADE_BY_THE_PAGE[page])
    names: dict[str, object] = {}
    for block in blocks:
        if block.kind == "bash":
            run_bash(block, place)
        else:
            exec(compile(place(block.text), str(block), "exec"), names)
    assert "<bound method" not in capsys.readouterr().out, "a method is printed that was to be called"


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.why_not and b.kind in ("bash", "sh")], ids=str)
def test_a_block_that_is_not_run_could_be(block: Block) -> None:
    for words in commands_of(block):
        check(words)


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.kind == "sh"], ids=str)
def test_a_script_holds_right_commands(block: Block) -> None:
    for words in commands_of(block):
        check(words)


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.why_not and b.kind == "python"], ids=str)
def test_python_that_is_not_run_names_what_there_is(block: Block) -> None:
    tree = compile(block.text, str(block), "exec", flags=0)
    imports = "\n".join(line for line in block.text.splitlines() if re.match(r"from \S+ import|import ", line))
    assert tree and imports
    exec(imports, {})


def test_shell_blocks_are_right_shell() -> None:
    script = "\n".join(block.text for block in BLOCKS if block.kind in ("bash", "sh"))
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, env=os.environ)
    assert done.returncode == 0, done.stderr


def test_every_block_has_a_kind_that_this_test_knows() -> None:
    odd = {str(b): b.kind for b in BLOCKS if b.kind not in ("", "bash", "sh", "python", "json", "yaml", "bibtex")}
    assert not odd, "give commands as bash, so that they are run"
    hidden = [str(b) for b in BLOCKS if b.kind == "" and re.search(r"^(\$ )?hage \w+ ", b.text, re.M)]
    assert not [name for name in hidden if not name.startswith("docs/index.md")], "a command in a block without a kind"


@pytest.mark.parametrize(
    "command",
    [
        "hage pretrian configs/pretrain/her2st.yaml",
        "hage pretrain configs/pretrain/her2st.yaml --no-such-option",
        "hage pretrain configs/pretrain/her2st.yaml --set train.epoch=3",
        "hage pretrain configs/pretrain/none.yaml",
        "hage pretrain configs/pretrain/her2st.yaml --jobs many",
        "hage embed features",
        "make nothing",
        "python benchmarks/gene_attention.py --no-such-option 3",
        "curl http://example.org",
    ],
)
def test_the_check_refuses_a_wrong_command(command: str) -> None:
    with pytest.raises(Exception, match=r".+"):
        check(shlex.split(command))
