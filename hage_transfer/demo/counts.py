"""Counts of genes in spots, drawn from the tissue map that the image is painted from."""

import numpy as np
from jaxtyping import Float, Int

from hage_transfer.demo.programs import N_HOUSEKEEPING, PROGRAMS, SYMBOLS
from hage_transfer.demo.tissue import MPP_UM_PER_PX, TissueMap, disc_means

SPOT_DIAMETER_UM = 55.0
DISPERSION = 0.35
MEAN_DEPTH = 3500.0
# How many molecules a filled spot of each compartment holds, relative to tumour.
RICHNESS = {"tumour": 1.0, "stroma": 0.45, "lymphoid": 0.8, "fat": 0.12}


def draw_counts(
    rng: np.random.Generator,
    tissue: TissueMap,
    centres_px: Float[np.ndarray, "spot 2"],
    *,
    patient_shift: Float[np.ndarray, " gene"],
) -> Int[np.ndarray, "spot gene"]:
    """Negative-binomial counts of ``SYMBOLS`` in spots at ``centres_px`` (x, y).

    The mean of gene g in spot s is depth_s * rate_sg / (sum over genes of rate_sg), with rate_sg = shift_g * (base_g +
    sum over programs k of share_sk * weight_kg). A gene's base and weights are the same everywhere; its shift is its
    patient's.

    Args:
        rng: where the randomness comes from.
        tissue: the map.
        centres_px: spot centres, level 0.
        patient_shift: log of a factor on each gene, which stands for what differs between patients and batches.
    """
    diameter_px = SPOT_DIAMETER_UM / MPP_UM_PER_PX
    shares = {name: disc_means(field, centres_px, diameter_px=diameter_px) for name, field in tissue.shares().items()}
    base, weights = _gene_profiles()
    rates = base[None] + np.stack([shares[name] for name in PROGRAMS], 1) @ weights
    rates = rates * np.exp(patient_shift)
    rates /= rates.sum(1, keepdims=True)
    richness = 0.05 + sum(RICHNESS[name] * shares[name] for name in RICHNESS)
    depth = MEAN_DEPTH * richness * np.exp(rng.normal(0, 0.35, len(centres_px)))
    means = rates * depth[:, None]
    return rng.poisson(means * rng.gamma(1 / DISPERSION, DISPERSION, means.shape))


def draw_patient_shift(rng: np.random.Generator) -> Float[np.ndarray, " gene"]:
    """Log factors that one patient's genes have against the next one's."""
    return rng.normal(0, 0.30, len(SYMBOLS))


def _gene_profiles() -> tuple[np.ndarray, np.ndarray]:
    """Base rate of each gene, and its weight in each program; the same for every section and seed."""
    rng = np.random.default_rng(1809)
    base = np.exp(rng.normal(-2.2, 0.7, len(SYMBOLS)))
    base[-N_HOUSEKEEPING:] *= 12.0
    weights = np.zeros((len(PROGRAMS), len(SYMBOLS)))
    for row, (name, genes) in enumerate(PROGRAMS.items()):
        columns = [SYMBOLS.index(gene) for gene in genes]
        strength = 3.0 if name == "activated" else 2.2
        weights[row, columns] = strength * np.exp(rng.normal(0, 0.6, len(genes)))
    # Some genes belong to no one program, as in life.
    for column in rng.choice(len(SYMBOLS) - N_HOUSEKEEPING, 40, replace=False):
        weights[rng.integers(len(PROGRAMS)), column] += 0.5
    return base, weights
