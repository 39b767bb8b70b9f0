"""Prints the versions that this environment has of all that the program needs: `make lock` keeps them as the demo's.

.venv/bin/python benchmarks/lock.py > requirements-demo.lock
"""

import platform
import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LINUX = ("nvidia-", "triton", "cuda-")


def pinned(lines: list[str]) -> dict[str, str]:
    """Versions here of what some requirements name, and of what that needs in turn."""
    found: dict[str, str] = {}
    left, seen = [(line, "") for line in lines], set()
    while left:
        line, extra = left.pop()
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        here = distribution(wanted.name)
        found[canonicalize_name(wanted.name)] = here.version.partition("+")[0]
        for one in {"", *wanted.extras}:
            if (wanted.name, one) not in seen:
                seen.add((wanted.name, one))
                left += [(below, one) for below in here.requires or ()]
    return found


def main() -> None:
    """Prints the lock."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    print(
        f"# Made by `make lock` with Python {platform.python_version()}; `make demo-locked` runs the demo with these."
    )
    for name, version in sorted(pinned(project["dependencies"]).items()):
        print(f"{name}=={version}" + (' ; sys_platform == "linux"' if name.startswith(LINUX) else ""))


if __name__ == "__main__":
    main()
