"""What the other sections of a patient measured at a spot's place, once sections are laid over each other by image.

Sections of one block are cut one after the other: what lies at a place in one is near what lies there in the next. The
registration reads features and positions alone, never counts; a section whose patient has no other training section
is given nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from scipy.linalg import eigh
from scipy.spatial import cKDTree

from hage_transfer.pretrain.dataset import Spots

N_AXES = 6
WIDTH = 2.0
"""Of the Gaussian over distances, in spot spacings."""
MIN_OVERLAP = 0.6
_COARSE_ANGLES = tuple(float(angle) for angle in range(0, 360, 15))
_COARSE_SHIFTS = tuple(np.arange(-4.0, 4.1, 2.0))
_FINE_ANGLES = (-8.0, -4.0, 0.0, 4.0, 8.0)
_FINE_SHIFTS = tuple(np.arange(-1.5, 1.6, 0.5))
_RINGED = 9
Pose = tuple[float, float, float, float]
"""Flip (1 or -1), turn in degrees, shift in x and y."""


@dataclass(frozen=True)
class Laid:
    """A section as registration sees it: places in spot spacings about its centre, and smoothed leading features."""

    places: Float[np.ndarray, "spot 2"]
    axes: Float[np.ndarray, "spot axis"]


def registered_places(moved: Laid, fixed: Laid) -> Float[np.ndarray, "spot 2"] | None:
    """Places of a section's spots on another, by the turn, flip and shift under which their features agree best.

    Returns:
        None where no pose puts six tenths of the spots onto the other section with features that agree at all.
    """
    tree = cKDTree(fixed.places)
    best = 0.0
    pose: Pose | None = None
    for coarse in (True, False):
        for candidate in _poses(pose, coarse=coarse):
            found = _agreement(moved, fixed, tree, _posed(moved.places, candidate))
            if found > best:
                best, pose = found, candidate
    return None if pose is None else _posed(moved.places, pose)


def serial_expression(train: Spots, asked: Spots) -> Float[np.ndarray, "asked gene"]:
    """Expression at each asked spot's place in the other training sections of its patient, each about its own mean.

    Args:
        train: of a fold; a section that is among them is not asked about itself.
        asked: training or test spots; their counts are not read.

    Returns:
        Means over those sections of what a Gaussian of two spacings gathers; zeros where there are none.
    """
    mean, std = train.features.mean(0), train.features.std(0)
    scale = np.where(std > 0, std, 1)
    n_features = len(scale)
    gram = np.cov((train.features - mean) / scale, rowvar=False).reshape(n_features, n_features)
    axes = eigh(gram, subset_by_index=(max(n_features - N_AXES, 0), n_features - 1))[1].T[::-1]

    def laid(spots: Spots, name: str) -> Laid:
        rows = spots.rows_of(name)
        return _lay(spots.coords_px[rows], ((spots.features[rows] - mean) / scale) @ axes.T)

    fixed = {name: laid(train, name) for name in train.section_names}
    patients = dict(zip(train.section_names, train.patient, strict=True))
    gathered = np.zeros((len(asked), train.target.shape[1]), dtype=np.float64)
    for name, patient in zip(asked.section_names, asked.patient, strict=True):
        rows, found = asked.rows_of(name), 0
        for other in (one for one in fixed if one != name and patients[one] == patient):
            places = registered_places(laid(asked, name), fixed[other])
            if places is not None:
                known = train.target[train.rows_of(other)]
                gathered[rows] += _gather(places, fixed[other].places, known - known.mean(0))
                found += 1
        gathered[rows] /= max(found, 1)
    return gathered


def add_serial(
    train: Spots,
    test: Spots,
    predicted: tuple[Float[np.ndarray, "train gene"], Float[np.ndarray, "test gene"]],
    *,
    weight: float,
) -> tuple[Float32[np.ndarray, "train gene"], Float32[np.ndarray, "test gene"]]:
    """Predictions of training and test spots with ``serial_expression`` added.

    Args:
        train: of a fold.
        test: of it; its counts are not read.
        predicted: of both, on any scale of each gene.
        weight: standard deviations of a gene's prediction that go to one of its serial expression's; both are taken
            over the training spots.
    """
    serial = tuple(serial_expression(train, spots) for spots in (train, test))
    spread = serial[0].std(0)
    scale = weight * np.where(spread > 0, predicted[0].std(0) / np.where(spread > 0, spread, 1), 0.0)
    known, asked = (one + scale * more for one, more in zip(predicted, serial, strict=True))
    return known.astype(np.float32), asked.astype(np.float32)


def _lay(coords_px: Float[np.ndarray, "spot 2"], scores: Float[np.ndarray, "spot axis"]) -> Laid:
    tree = cKDTree(coords_px)
    k = min(_RINGED, len(coords_px))
    distance, near = tree.query(coords_px, k=k)
    spacing = np.median(distance[:, 1]) if k > 1 else 1.0
    smooth = scores[near].mean(1) if k > 1 else scores
    spread = smooth.std(0)
    return Laid(
        (coords_px - coords_px.mean(0)) / max(spacing, 1e-12),
        (smooth - smooth.mean(0)) / np.where(spread > 0, spread, 1),
    )


def _poses(around: Pose | None, *, coarse: bool) -> Iterator[Pose]:
    if coarse or around is None:
        shifts = [(x, y) for x in _COARSE_SHIFTS for y in _COARSE_SHIFTS]
        yield from ((flip, angle, x, y) for flip in (1.0, -1.0) for angle in _COARSE_ANGLES for x, y in shifts)
        return
    flip, angle, x, y = around
    shifts = [(x + dx, y + dy) for dx in _FINE_SHIFTS for dy in _FINE_SHIFTS]
    yield from ((flip, angle + turn, *shift) for turn in _FINE_ANGLES for shift in shifts)


def _posed(places: Float[np.ndarray, "spot 2"], pose: Pose) -> Float[np.ndarray, "spot 2"]:
    flip, angle, x, y = pose
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return (places * [flip, 1.0]) @ np.array([[cosine, -sine], [sine, cosine]]) + [x, y]


def _agreement(moved: Laid, fixed: Laid, tree: cKDTree, places: Float[np.ndarray, "spot 2"]) -> float:
    distance, near = tree.query(places)
    on = distance < 1
    if on.mean() < MIN_OVERLAP or on.sum() < 3:
        return 0.0
    one, other = moved.axes[on], fixed.axes[near[on]]
    one, other = one - one.mean(0), other - other.mean(0)
    norm = np.sqrt((one**2).sum(0) * (other**2).sum(0))
    return float(((one * other).sum(0) / np.where(norm > 0, norm, 1)).mean() * on.mean())


def _gather(
    places: Float[np.ndarray, "asked 2"], fixed: Float[np.ndarray, "spot 2"], known: Float[np.ndarray, "spot gene"]
) -> Float[np.ndarray, "asked gene"]:
    square = ((places[:, None] - fixed[None]) ** 2).sum(-1)
    weight = np.exp(-square / (2 * WIDTH**2)) + 1e-6
    return (weight / weight.sum(1, keepdims=True)) @ known
