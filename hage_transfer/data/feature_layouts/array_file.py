"""Plain arrays (`.npy`), as torchmil keeps a slide's features and coords: mapped, never unpickled."""

from pathlib import Path

import numpy as np

from hage_transfer.damage import DAMAGE
from hage_transfer.errors import DataError


def load_array(path: Path, *, kinds: str) -> np.ndarray:
    """The (N, D) array of a file; its values stay on disk until they are used.

    Args:
        path: of the file.
        kinds: numpy's letters of the types that will do.

    Raises:
        DataError: not a file of numpy, Python objects in it, or an array of another shape or type.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except DAMAGE as error:
        if "pickle" in str(error).lower() or "Python objects" in str(error):
            raise DataError(
                f"{path}: holds a pickled object, which could run code when read, so it is not, or is no npy; save an "
                "array of floats: numpy.save(path, array)"
            ) from None
        raise DataError(f"{path}: cannot be read as npy ({str(error).splitlines()[0]}); make it again") from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise DataError(f"{path}: is an archive of arrays (npz), wanted one array (N, D): save it alone as npy")
    array = array[0] if array.ndim == 3 and array.shape[0] == 1 else array
    if array.ndim != 2 or array.dtype.kind not in kinds:
        raise DataError(f"{path}: holds an array of shape {array.shape} {array.dtype}, wanted (N, D) floats")
    return array
