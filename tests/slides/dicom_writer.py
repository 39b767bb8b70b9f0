"""A whole-slide image as DICOM: one series, one instance a level, and the label and overview that scanners add."""

import io
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

_WSI = "1.2.840.10008.5.1.4.1.1.77.1.6"
TILE_PX = 256


def write_series(
    folder: Path,
    picture: np.ndarray,
    *,
    mpp_um_per_px: float = 0.5,
    downsamples: tuple[int, ...] = (1, 2, 4),
    kinds: tuple[str, ...] = ("VOLUME", "THUMBNAIL", "LABEL", "OVERVIEW"),
    container: str = "S-1",
    compressed: bool = False,
    samples: int = 3,
    **changed: object,
) -> list[Path]:
    """Writes a slide's instances, named by their UID as archives do, and gives their paths.

    Args:
        folder: to write to.
        picture: level 0, (height, width, 3).
        mpp_um_per_px: of level 0.
        downsamples: of the levels.
        kinds: ``VOLUME`` for the levels, and what else there is.
        container: the slide's identifier.
        compressed: as JPEG; else the pixels as they are.
        samples: 1 for a channel of fluorescence.
        changed: elements to set otherwise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    levels = [("VOLUME", picture[::step, ::step], mpp_um_per_px * step) for step in downsamples]
    extra = [(kind, picture[::8, ::8], mpp_um_per_px * 8) for kind in kinds if kind != "VOLUME"]
    written = []
    for number, (kind, pixels, mpp) in enumerate(levels + extra, start=1):
        file = _instance(pixels, kind, mpp, compressed=compressed, samples=samples)
        file.StudyInstanceUID, file.SeriesInstanceUID, file.FrameOfReferenceUID = study, series, frame
        file.InstanceNumber, file.ContainerIdentifier = number, container
        for name, value in changed.items():
            setattr(file, name, value)
        path = folder / f"{file.SOPInstanceUID}.dcm"
        pydicom.dcmwrite(path, file, enforce_file_format=True)
        written.append(path)
    return written


def _instance(pixels: np.ndarray, kind: str, mpp: float, *, compressed: bool, samples: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = _WSI, generate_uid()
    meta.TransferSyntaxUID = JPEGBaseline8Bit if compressed else ExplicitVRLittleEndian
    file = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID, file.Modality = _WSI, meta.MediaStorageSOPInstanceUID, "SM"
    height, width = pixels.shape[:2]
    file.ImageType = [
        "ORIGINAL" if kind == "VOLUME" and mpp < 1 else "DERIVED",
        "PRIMARY",
        kind,
        "NONE" if mpp < 1 else "RESAMPLED",
    ]
    file.TotalPixelMatrixColumns, file.TotalPixelMatrixRows = width, height
    file.Columns = file.Rows = TILE_PX
    file.SamplesPerPixel = samples
    file.PhotometricInterpretation = "MONOCHROME2" if samples == 1 else "YBR_FULL_422" if compressed else "RGB"
    if samples == 3:
        file.PlanarConfiguration = 0
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 8, 8, 7, 0
    file.DimensionOrganizationType = "TILED_FULL"
    file.TotalPixelMatrixFocalPlanes, file.NumberOfOpticalPaths = 1, 1
    file.ImagedVolumeWidth, file.ImagedVolumeHeight = width * mpp / 1000, height * mpp / 1000
    file.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    measures, groups = Dataset(), Dataset()
    measures.PixelSpacing = [f"{mpp / 1000:.10f}"] * 2
    groups.PixelMeasuresSequence = Sequence([measures])
    file.SharedFunctionalGroupsSequence = Sequence([groups])
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem = origin.YOffsetInSlideCoordinateSystem = "0"
    file.TotalPixelMatrixOriginSequence = Sequence([origin])
    path = Dataset()
    path.OpticalPathIdentifier = "1"
    file.OpticalPathSequence = Sequence([path])
    frames = [_tile(pixels, x, y) for y in range(0, height, TILE_PX) for x in range(0, width, TILE_PX)]
    file.NumberOfFrames = len(frames)
    if compressed:
        file.PixelData = encapsulate([_jpeg(frame) for frame in frames])
    else:
        file.PixelData = b"".join((frame[..., 0] if samples == 1 else frame).tobytes() for frame in frames)
        file["PixelData"].VR = "OB"
    return file


def _tile(pixels: np.ndarray, x: int, y: int) -> np.ndarray:
    tile = np.full((TILE_PX, TILE_PX, 3), 255, np.uint8)
    part = pixels[y : y + TILE_PX, x : x + TILE_PX]
    tile[: part.shape[0], : part.shape[1]] = part
    return tile


def _jpeg(frame: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()
