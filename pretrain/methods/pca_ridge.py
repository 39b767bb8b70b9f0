"""PCA and ridge: regression on the leading components of the standardised features."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from hage_transfer.pretrain.dataset import Spots
from hage_transfer.pretrain.methods.base import Method, Task, Trained
from hage_transfer.pretrain.methods.selection import ALPHAS, Positions, Setting, choose

N_COMPONENTS = (8, 16, 32, 64, 128, 256)


def fit_pca_ridge(task: Task, *, n_components: tuple[int, ...] = N_COMPONENTS) -> Trained:
    """Fits on all training sections and predicts, with the components and the alpha of best held-out PCC.

    Args:
        task: the trial; its rows and seed are not used, since the choice is made by leaving sections out.
        n_components: to choose from; what the features or spots cannot fill is left out.
    """
    train, test = task.data.train, task.data.test
    with threadpool_limits(1):
        (components, alpha), score = choose(
            train,
            lambda fitted, held_out: _settings(train, fitted, held_out, n_components),
            unit=task.config.split.unit,
        )
        reduce = _reduce(int(components)).fit(train.features)
        ridge = Ridge(alpha=alpha).fit(reduce.transform(train.features), train.target)
        known, asked = (ridge.predict(reduce.transform(spots.features)) for spots in (train, test))
    return Trained(known, asked, score, chosen={"components": components, "alpha": alpha})


def _settings(
    train: Spots, fitted: Positions, held_out: Positions, n_components: tuple[int, ...]
) -> Iterator[tuple[Setting, Float[np.ndarray, "spot gene"]]]:
    most = min(len(fitted) - 1, train.features.shape[1])
    if most < 1:  # a part without enough spots for one component; the others decide
        return
    counts = [n for n in n_components if n <= most] or [most]
    reduce = _reduce(counts[-1]).fit(train.features[fitted])
    known, asked = (reduce.transform(train.features[rows]) for rows in (fitted, held_out))
    target = train.target[fitted]
    for n in counts:
        for alpha in ALPHAS:
            yield (float(n), alpha), Ridge(alpha=alpha).fit(known[:, :n], target).predict(asked[:, :n])


def _reduce(n_components: int) -> Pipeline:
    return make_pipeline(StandardScaler(), PCA(n_components, svd_solver="full"))


METHOD = Method(
    name="pca_ridge",
    title="PCA + ridge",
    reference="Hoerl and Kennard, Technometrics 1970; on principal components of the same features",
    stochastic=False,
    fit=fit_pca_ridge,
)
