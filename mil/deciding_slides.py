"""Genes that mark the deciding tiles of slide after slide: slides are units, so here a test is a test."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float
from scipy import stats

from hage_transfer.compare.bootstrap import MIN_GROUPS
from hage_transfer.errors import DataError

MIN_TESTED_GROUPS = 6
"""With five groups the smallest two-sided p of flipped signs is 0.0625."""
_EXACT_GROUPS = 12
_DRAWS = 4095
_LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class ConsistentGenes:
    """Effects over slides, gene by gene.

    Attributes:
        mean: effect, mean over groups of their slides' means.
        agreement: share of slides whose effect has the sign of the mean.
        low: lower end of the 95% interval of the mean, Student's t over groups; NaN where there is none.
        high: upper end.
        p_value: two-sided, group means with their signs flipped; NaN where there is none.
        q_value: Benjamini and Hochberg over genes.
        n_slides: slides.
        n_groups: groups (patients) that they are from.
        reason: why there is no interval or no test; empty where there are both.
    """

    mean: Float[np.ndarray, " gene"]
    agreement: Float[np.ndarray, " gene"]
    low: Float[np.ndarray, " gene"]
    high: Float[np.ndarray, " gene"]
    p_value: Float[np.ndarray, " gene"]
    q_value: Float[np.ndarray, " gene"]
    n_slides: int
    n_groups: int
    reason: str


def consistent_genes(
    effects: Float[np.ndarray, "slide gene"], groups: Sequence[Hashable], *, seed: int = 0
) -> ConsistentGenes:
    """Mean effect over patients, its interval, and a test that it is 0.

    Slides of one patient count together, as their mean: effect, interval and test are all of these. The interval is
    Student's t, since a bootstrap of so few patients is too short (in simulations its 95% covered 75% with three
    groups and 90% with ten). The test flips the signs of the means (all 2^groups patterns up to 12 groups, else 4,095
    drawn ones with the true one added). Slides of one fold are explained by the same model, and predicted by the same
    encoder: the test is of slides, given those.

    Reference: Davison and Hinkley 1997, section 4.2; Benjamini and Hochberg 1995.

    Args:
        effects: rank-biserial correlation of each slide and gene.
        groups: patient of each slide.
        seed: of the draws.

    Raises:
        DataError: no slide, or not one group a slide.
    """
    if not len(effects) or len(groups) != len(effects):
        raise DataError(f"one group a slide is wanted, met {len(effects)} slides and {len(groups)} groups")
    codes = np.unique([str(group) for group in groups], return_inverse=True)[1]
    sizes = np.bincount(codes).astype(np.float64)
    sums = np.zeros((len(sizes), effects.shape[1]))
    np.add.at(sums, codes, effects)
    means = sums / sizes[:, None]
    mean = means.mean(0)
    agreement = np.where(mean == 0, np.nan, (np.sign(effects) == np.sign(mean)).mean(0))
    generator = np.random.default_rng(seed)
    low, high = _interval(means)
    p_value = _flipped_signs(means, generator)
    q_value = stats.false_discovery_control(p_value) if np.isfinite(p_value).all() else np.full_like(p_value, np.nan)
    return ConsistentGenes(
        mean=mean,
        agreement=agreement,
        low=low,
        high=high,
        p_value=p_value,
        q_value=q_value,
        n_slides=len(effects),
        n_groups=len(sizes),
        reason=_reason(len(sizes)),
    )


def _reason(n_groups: int) -> str:
    missing = [f"no interval below {MIN_GROUPS} groups"] if n_groups < MIN_GROUPS else []
    missing += [f"no test below {MIN_TESTED_GROUPS} groups"] if n_groups < MIN_TESTED_GROUPS else []
    return "; ".join(missing) + (f" (there are {n_groups})" if missing else "")


def _interval(means: Float[np.ndarray, "group gene"]) -> tuple[Float[np.ndarray, " gene"], Float[np.ndarray, " gene"]]:
    """Student's interval of the mean over groups."""
    n_groups = len(means)
    if n_groups < MIN_GROUPS:
        nothing = np.full(means.shape[1], np.nan)
        return nothing, nothing.copy()
    margin = stats.t.ppf((1 + _LEVEL) / 2, n_groups - 1) * means.std(axis=0, ddof=1) / np.sqrt(n_groups)
    mean = means.mean(axis=0)
    return np.clip(mean - margin, -1, 1), np.clip(mean + margin, -1, 1)


def _flipped_signs(
    means: Float[np.ndarray, "group gene"], generator: np.random.Generator
) -> Float[np.ndarray, " gene"]:
    n_groups = len(means)
    if n_groups < MIN_TESTED_GROUPS:
        return np.full(means.shape[1], np.nan)
    if n_groups <= _EXACT_GROUPS:
        signs = np.array(list(product((1.0, -1.0), repeat=n_groups)))
    else:
        drawn = generator.choice((1.0, -1.0), size=(_DRAWS, n_groups))
        signs = np.concatenate([np.ones((1, n_groups)), drawn])
    totals = np.abs(signs @ means)
    return (totals >= totals[0] - 1e-12).mean(0)
