"""Sections whose arrays lie in unnamed files once they are many: what is read of them stays, memory does not grow."""

import tempfile
from pathlib import Path

import numpy as np
from anndata import AnnData

_WAITING_BYTES = 128 << 20
_ALIGNED = 64


class SetAside:
    """Moves counts and ``obsm`` of sections out of memory, so many bytes at a time.

    As of ``GrowingArray``, a file is gone with the process that made it.

    Args:
        folder: where the files are made; its nearest parent where it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = next(one for one in (folder, *folder.absolute().parents) if one.is_dir())
        self._waiting: list[AnnData] = []

    def keep(self, section: AnnData) -> AnnData:
        """The section itself, which is moved when enough of them are waiting."""
        self._waiting.append(section)
        if sum(array.nbytes for one in self._waiting for array in _arrays(one).values()) > _WAITING_BYTES:
            self._move()
        return section

    def _move(self) -> None:
        waiting, self._waiting = self._waiting, []
        with tempfile.TemporaryFile(dir=self._folder) as file:
            starts = []
            for array in (array for one in waiting for array in _arrays(one).values()):
                file.seek(-file.tell() % _ALIGNED, 1)
                starts.append(file.tell())
                file.write(np.ascontiguousarray(array).data)
            file.flush()
            whole = np.asarray(np.memmap(file, mode="c"))
        place = iter(starts)
        for section in waiting:
            moved = {name: _view(whole, next(place), array) for name, array in _arrays(section).items()}
            section.X.data, section.X.indices = moved.pop("data"), moved.pop("indices")
            for name, array in moved.items():
                section.obsm[name] = array


def _arrays(section: AnnData) -> dict[str, np.ndarray]:
    return {"data": section.X.data, "indices": section.X.indices, **section.obsm}


def _view(whole: np.ndarray, start: int, like: np.ndarray) -> np.ndarray:
    return whole[start : start + like.nbytes].view(like.dtype).reshape(like.shape)
