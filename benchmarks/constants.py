"""What constants score on HER2+ under each normalisation preset, whole patients held out; and pooled PCC of nothing.

    python benchmarks/constants.py data/her2st/data --panel her_hvg_cut_1000.txt

No image and no model: the numbers are those that any prediction has to beat (docs/protocol.md). Errors are of all
entries of a section, then the mean over sections; the training sections of a section are those of other patients.
"""

import argparse
import logging
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hage_transfer.compare.genes import gene_pcc
from hage_transfer.config import SectionsSettings
from hage_transfer.data.expression import PRESETS, normalise
from hage_transfer.data.sections import her2st


def main() -> None:
    """Reads the command line and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder of ST-cnts and ST-spotfiles")
    parser.add_argument("--panel", type=Path, required=True, help="a gene a line")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    panel = [line.strip() for line in options.panel.read_text(encoding="utf-8").splitlines() if line.strip()]
    counts = read_counts(options.root, panel)
    spots = sum(len(section) for section in counts.values())
    print(f"{len(counts)} sections, {spots} spots, {len(panel)} genes, patients held out")
    print("| preset | all-zero MSE / MAE | gene mean MSE / MAE | gene median MAE |\n|---|---|---|---|")
    for preset in PRESETS:
        sections = {name: normalise(section, preset) for name, section in counts.items()}
        zero, mean, median = (np.mean(rows, axis=0) for rows in zip(*errors(sections), strict=True))
        print(
            f"| {preset} | {zero[0]:.3f} / {zero[1]:.3f} | {mean[0]:.3f} / {mean[1]:.3f} | {median[1]:.3f} |",
            flush=True,
        )
    sections = {name: normalise(section, "spot_log10") for name, section in counts.items()}
    target = np.concatenate(list(sections.values()))
    of_section = np.concatenate([np.broadcast_to(rows.mean(axis=0), rows.shape) for rows in sections.values()])
    pooled = gene_pcc(of_section, target).mean()
    print(f"pooled PCC of each section's own mean, without any signal inside it: {pooled:.3f}")


def read_counts(root: Path, panel: list[str]) -> dict[str, np.ndarray]:
    """Counts of the panel in each section of the published comparisons; a gene that a section lacks is 0."""
    settings = SectionsSettings(root=root)
    paths = her2st.find(settings)
    found = {}
    for name in her2st.default(sorted(paths)):
        raw = her2st.read(settings, name, paths[name])
        place = {gene: column for column, gene in enumerate(raw.genes)}
        dense = np.zeros((len(raw.spots), len(panel)))
        there = [(row, place[gene]) for row, gene in enumerate(panel) if gene in place]
        dense[:, [row for row, _ in there]] = raw.counts[:, [column for _, column in there]].toarray()
        found[name] = dense
    return found


def errors(sections: dict[str, np.ndarray]) -> list[list[Float[np.ndarray, " 2"]]]:
    """MSE and MAE of all zeros, training genes' means and training genes' medians, for every section."""
    found = []
    for name, rows in sections.items():
        train = np.concatenate([other for other_name, other in sections.items() if other_name[0] != name[0]])
        guesses = np.zeros(rows.shape[1]), train.mean(axis=0), np.median(train, axis=0)
        found.append([np.array([np.mean((rows - guess) ** 2), np.mean(np.abs(rows - guess))]) for guess in guesses])
    return found


if __name__ == "__main__":
    main()
