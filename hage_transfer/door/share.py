"""`share`: an encoder directory to the hub."""

from dataclasses import dataclass
from pathlib import Path

from hage_transfer.door.given import PathLike
from hage_transfer.door.refused import refuse_absent


@dataclass(frozen=True)
class Shared:
    """What was uploaded, or would be.

    Attributes:
        address: of the repository; None where nothing was uploaded.
        repository: ``organisation/name``.
        files: name and bytes of each.
    """

    address: str | None
    repository: str
    files: dict[str, int]

    def __str__(self) -> str:
        listed = ", ".join(f"{name} ({size / 1e6:.1f} MB)" for name, size in self.files.items())
        return f"would upload to {self.repository}: {listed}" if self.address is None else f"{self.address}: {listed}"


def share(
    encoder: PathLike, *, to: str, public: bool = False, licence_allows: bool = False, dry_run: bool = False
) -> Shared:
    """Uploads an encoder or classifier directory, with its model card, to the Hugging Face hub.

    The token is the one of `hf auth login`, or HF_TOKEN.

    Args:
        encoder: encoder directory that `pretrain` made, or classifier directory that `mil` or `probe` left.
        to: ``organisation/name`` of the repository; made where it is not there.
        public: let everybody see it; else the organisation alone.
        licence_allows: you may share it though the frozen encoder's licence forbids derivatives or is not known.
        dry_run: say what would be uploaded; ask no network.

    Raises:
        DataError: no encoder directory, nor a classifier directory.
        SharingError: the licence forbids it; no token; no access; the hub cannot be reached.
    """
    folder = Path(encoder)
    refuse_absent("an encoder or classifier directory", folder)
    from hage_transfer.apply.classifier import FACTS_FILE  # torch: what is wrong so far was refused without it
    from hage_transfer.apply.sharing import check_classifier_upload, push_classifier
    from hage_transfer.models.sharing import check_upload, push_encoder

    is_classifier = (folder / FACTS_FILE).is_file()
    check, push = (check_classifier_upload, push_classifier) if is_classifier else (check_upload, push_encoder)
    names = check(folder, to, allow_derivative=licence_allows)
    files = {name: (folder / name).stat().st_size for name in names}
    if dry_run:
        return Shared(None, to, files)
    return Shared(push(folder, to, private=not public, allow_derivative=licence_allows), to, files)
