"""The forms that an encoder directory can have, and the one way to open any of them.

A new form is one file: a ``StoredEncoder`` with its own ``form``, ``build`` and ``forward``, and its name below.
"""

import os

from hage_transfer.errors import DataError
from hage_transfer.models import checkpoint
from hage_transfer.models.derived import DerivedEncoder
from hage_transfer.models.gene_informed import GeneInformedEncoder
from hage_transfer.models.linear import LinearEncoder
from hage_transfer.models.projection import ProjectionEncoder
from hage_transfer.models.section_encoders import GraphAttentionEncoder, HisToGeneEncoder, SageEncoder
from hage_transfer.models.stored_encoder import StoredEncoder

_CLASSES: tuple[type[StoredEncoder], ...] = (
    GeneInformedEncoder,
    DerivedEncoder,
    LinearEncoder,
    ProjectionEncoder,
    HisToGeneEncoder,
    SageEncoder,
    GraphAttentionEncoder,
)
FORMS: dict[str, type[StoredEncoder]] = {one.form: one for one in _CLASSES}


def open_encoder(
    name: str | os.PathLike[str], *, revision: str | None = None, token: str | None = None
) -> StoredEncoder:
    """Opens an encoder directory of any form, or a hub repository like it, ready for inference.

    Args:
        name: a folder, or ``organisation/name`` on the hub.
        revision: branch, tag or commit on the hub; None: its main branch.
        token: of the hub; None: the one of ``hf auth login`` or HF_TOKEN, if any.

    Raises:
        DataError: not an encoder directory, of a form that is not known, or its weights do not fit its config.
        WeightsError: ``name`` is no folder and the hub has it not, or cannot be reached.

    >>> import tempfile, torch
    >>> from pathlib import Path
    >>> from hage_transfer.models.linear import LinearEncoder
    >>> folder = Path(tempfile.mkdtemp()) / "half"
    >>> LinearEncoder(torch.eye(4)[:, :2]).save_pretrained(folder, card={"frozen_encoder": "uni"})
    >>> encoder = open_encoder(folder)
    >>> encoder.form, encoder(torch.ones(3, 4)).shape
    ('linear', torch.Size([3, 2]))
    """
    folder = checkpoint.find_encoder(os.fspath(name), revision=revision, token=token)
    form = checkpoint.form_of(checkpoint.read_card(folder))
    if form not in FORMS:
        raise DataError(
            f"{name}: {checkpoint.CONFIG_FILE} says form {form!r}, which this program does not know (it knows "
            f"{', '.join(FORMS)}); upgrade, or copy the directory again"
        )
    return FORMS[form].from_pretrained(folder)
