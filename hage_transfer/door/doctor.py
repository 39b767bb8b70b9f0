"""`doctor`: what this machine has, what it lacks, and how to get that. It asks no network unless told to."""

import os
import shutil
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from hage_transfer.door.missing import missing
from hage_transfer.encoders.registry import entries
from hage_transfer.running.devices import available_devices
from hage_transfer.running.run_directory import environment


@dataclass(frozen=True)
class Findings:
    """What is here.

    Attributes:
        encoders: frozen encoders: name, whether the weights are at hand, width, licence, where they are from.
        machine: devices, threads, disks.
        versions: of Python and packages.
        missing: what is not at hand, what it is needed for, and how to get it.
    """

    encoders: list[dict[str, Any]]
    machine: dict[str, str]
    versions: dict[str, str]
    missing: list[dict[str, str]]

    def frame(self) -> pd.DataFrame:
        """The frozen encoders, a row each."""
        return pd.DataFrame(self.encoders)

    def _repr_html_(self) -> str:
        lacks = "".join(
            f"<li>{escape(one['what'])}, for {escape(one['needed_for'])}: {escape(one['how'])}</li>"
            for one in self.missing
        )
        facts = pd.Series({**self.machine, **self.versions}).to_frame("").to_html(header=False)
        return f"{self.frame().to_html(index=False)}{facts}<ul>{lacks}</ul>"


def doctor(*, ask_hub: bool = False) -> Findings:
    """Devices, frozen encoders and licences, disk, versions; what is missing and how to get it.

    Args:
        ask_hub: ask the hub which gated weights your token may read; else no network.
    """
    encoders, versions = entries(), environment()
    return Findings(
        encoders=[
            {
                "name": entry.name,
                "weights": "at hand" if entry.at_hand else "not at hand",
                "width": entry.width,
                "licence": entry.licence,
                "from": entry.home,
            }
            for entry in encoders
        ],
        machine=_machine(),
        versions={"python": versions["python"], **versions["packages"]},
        missing=[asdict(one) for one in missing(encoders, place=Path.cwd(), ask_hub=ask_hub)],
    )


def _machine() -> dict[str, str]:
    facts = {}
    for device in available_devices():
        about = torch.cuda.get_device_name(device) if device.startswith("cuda") else f"{os.cpu_count()} cores"
        facts[f"device {device}"] = about if device != "mps" else "Apple GPU"
    facts["torch threads"] = str(torch.get_num_threads())
    for place in dict.fromkeys((Path.cwd(), Path.home())):
        free, total = shutil.disk_usage(place).free, shutil.disk_usage(place).total
        facts[f"disk of {place}"] = f"{free / 2**30:.0f} of {total / 2**30:.0f} GiB free"
    return facts
