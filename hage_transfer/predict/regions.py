"""Regions whose attention `hage predict` compares: k-means on embeddings, a csv, or a column of an AnnData section."""

import logging
from pathlib import Path

import pandas as pd

from hage_transfer.errors import DataError
from hage_transfer.models.ensemble import ExpressionEnsemble
from hage_transfer.models.region_attention import embedding_regions
from hage_transfer.predict.items import Loaded, PredictItem

log = logging.getLogger(__name__)

UNLABELLED = "unlabelled"
_COLUMNS = {"section", "spot", "region"}


def named_regions(
    item: PredictItem, ensemble: ExpressionEnsemble, loaded: Loaded, regions: str, *, seed: int
) -> tuple[pd.Categorical, str]:
    """Each spot's region, and where the regions come from in words.

    Args:
        item: section or slide.
        ensemble: the first model's embeddings are clustered.
        loaded: the item's rows.
        regions: a number of clusters, the path of a csv `section,spot,region`, or an obs column's name.
        seed: of the k-means.

    Raises:
        DataError: none of the three, or no label for any spot.
    """
    if regions.isdecimal() and int(regions) > 0:
        number = int(regions)
        codes = embedding_regions(ensemble.models[0], loaded.features, n_regions=number, seed=seed)
        names = [f"region {code + 1}" for code in range(number)]
        return pd.Categorical([names[code] for code in codes], categories=names), f"k-means on embeddings, k = {number}"
    path, spots = Path(regions), loaded.place.obs.index
    if path.suffix == ".csv":
        return _categories(_from_csv(path, item.name).reindex(spots), where=f"{path}: {item.name}"), path.name
    labels = item.obs_column(regions)
    if labels is None:
        raise DataError(
            f"regions={regions}: {item.name} has no obs column of that name; give a number of clusters, a csv "
            "`section,spot,region`, or an obs column of an AnnData section"
        )
    return _categories(labels, where=f"obs column {regions} of {item.name}"), f"obs column {regions}"


def _from_csv(path: Path, name: str) -> pd.Series:
    try:
        table = pd.read_csv(path, dtype=str)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{path}: cannot be read as a csv of regions ({error})") from None
    if not set(table.columns) >= _COLUMNS:
        raise DataError(f"{path}: columns are {', '.join(table.columns)}; wanted section,spot,region")
    rows = table[table["section"] == name]
    if rows["spot"].duplicated().any():
        raise DataError(f"{path}: {name}, spot {rows['spot'][rows['spot'].duplicated()].iloc[0]} is there twice")
    return rows.set_index("spot")["region"]


def _categories(labels: pd.Series, *, where: str) -> pd.Categorical:
    missing = labels.isna()
    if missing.all():
        raise DataError(f"{where}: no spot has a region")
    if missing.any():
        log.warning("%s: %d of %d spots have no region, shown as %s", where, missing.sum(), len(labels), UNLABELLED)
    known = sorted(labels[~missing].astype(str).unique())
    categories = [*known, UNLABELLED] if missing.any() else known
    return pd.Categorical(labels.astype(object).where(~missing, UNLABELLED).astype(str), categories=categories)
