"""How each run was made: command, versions, commit, hashes."""

import shlex
from collections.abc import Iterator
from typing import Any

from hage_transfer.config import file_sha256
from hage_transfer.report.layout import Reproduction
from hage_transfer.report.runs import Run
from hage_transfer.running.run_directory import RESULTS_FILE

UNKNOWN = "not recorded"


def reproduction_of(run: Run) -> Reproduction:
    """What it takes to get a run's numbers again, as far as the run says."""
    environment = run.environment
    command, packages = environment.get("command"), environment.get("packages")
    versions = (
        ", ".join(f"{name} {version}" for name, version in packages.items() if version != "not installed")
        if isinstance(packages, dict)
        else ""
    )
    facts = (
        ("Folder", str(run.path)),
        ("Commit", str(environment.get("commit") or UNKNOWN)),
        ("Packages", versions or UNKNOWN),
        ("Python", str(environment.get("python") or UNKNOWN)),
        ("Platform", str(environment.get("platform") or UNKNOWN)),
    )
    return Reproduction(
        name=run.name,
        command=shlex.join(str(word) for word in command) if isinstance(command, list) and command else UNKNOWN,
        facts=facts,
        hashes=((RESULTS_FILE, file_sha256(run.path / RESULTS_FILE)), *_hashes(run.meta)),
        config=run.config.strip() or UNKNOWN,
    )


def _hashes(meta: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Of config, inputs of every fold, panel, encoders and feature files."""
    found = {"config": meta.get("config_sha256"), f"encoder {meta.get('encoder')}": meta.get("encoder_sha256")}
    panel, folds, features = meta.get("panel"), meta.get("inputs_sha256"), meta.get("features")
    if isinstance(panel, dict):
        found[f"panel {panel.get('from')}"] = panel.get("sha256")
    if isinstance(folds, dict):
        found |= {f"inputs of fold {name}": value for name, value in folds.items()}
    if isinstance(features, dict):
        for source, trials in features.items():
            for number, one in enumerate(trials):
                trial = f", trial {number}" if len(trials) > 1 else ""
                found[f"{source}{trial}: weights of {one.get('encoder')}"] = one.get("encoder_sha256")
                found[f"{source}{trial}: how its features were made"] = one.get("config_sha256")
    yield from ((label, str(value)) for label, value in found.items() if value)
