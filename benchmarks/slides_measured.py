"""Our side of slides_to_features.py, in a process of its own: bare and end to end in turn, and part by part."""

import itertools
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Cost = dict[str, float]


def measure(task: dict) -> dict:
    """Does what ``task["what"]`` says: ``turns``, ``tissue``, ``parts`` or ``once`` (end to end, for peak memory)."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `hage` does
    import torch

    torch.set_num_threads(task["threads"])
    facts = {"turns": turns, "tissue": tissue_and_tiles, "parts": parts, "once": once}[task["what"]](task)
    return facts | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def timed(work: Callable[[], int]) -> Cost:
    """Seconds, seconds of a core over all threads, and tiles that ``work`` says it had."""
    start, cpu = time.perf_counter(), time.process_time()
    tiles = work()
    return {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu, "tiles": tiles}


def turns(task: dict) -> dict:
    """Bare before and after end to end, which what else the machine does meets alike, as often as the task says."""
    import numpy as np

    images = np.stack(list(itertools.islice(all_tiles(task), task["bare_tiles"])))
    encoder, batch = encoder_of(task), encoder_settings(task).batch_size
    found: dict[str, list[Cost]] = {"bare": [], "end to end": []}
    for _ in range(task["turns"]):
        before = timed(lambda: bare(encoder, images, batch))
        found["end to end"].append(end_to_end(task, encoder))
        after = timed(lambda: bare(encoder, images, batch))
        found["bare"].append({name: before[name] + after[name] for name in before})
    return {"costs": found}


def once(task: dict) -> dict:
    """End to end alone."""
    return end_to_end(task, encoder_of(task))


def bare(encoder: object, images: object, batch: int) -> int:
    """The encoder over tiles that lie in memory: its own normalisation and network, nothing else."""
    for k in range(0, len(images), batch):
        encoder(images[k : k + batch])
    return len(images)


def end_to_end(task: dict, encoder: object) -> Cost:
    """From closed slides to feature files, each slide as often as ``task["times"]`` says."""
    from hage_transfer.encode.image_progress import ImageProgress
    from hage_transfer.encode.items import item_sha256
    from hage_transfer.encode.slide_items import slide_items
    from hage_transfer.encode.status import StatusBook
    from hage_transfer.encode.worker import Worker

    settings = encoder_settings(task)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = []
        for turn, path in itertools.product(range(task["times"]), map(Path, task["slides"])):
            names.append(f"{turn} {path.name}")
            (folder / names[-1]).symlink_to(path.resolve())
        (folder / "table.csv").write_text("\n".join(["slide", *(f'"{name}"' for name in names)]) + "\n")
        own = tile_settings(task).model_copy(update={"root": folder, "labels": folder / "table.csv"})

        def work() -> int:
            items, _ = slide_items(own, folder / "out")
            book = StatusBook(folder / "out", tuple((item.name, item.path) for item in items))
            worker = Worker(
                items,
                encoder,
                settings,
                sha256=lambda item: item_sha256(item, settings, encoder.sha256),
                arithmetic="cpu",
                synthetic=False,
                progress=ImageProgress(None, total=len(items), kept=0),
                book=book,
            )
            outcomes = worker.run()
            book.write()
            for one in outcomes:
                if one.failed:
                    sys.exit(f"{one.slide}: {one.reason}")
            return sum(one.tiles for one in outcomes)

        return timed(work)


def tissue_and_tiles(task: dict) -> Cost:
    """From closed slides to tile coordinates."""
    return timed(lambda: sum(len(grid) for _, _, grid in opened(task)))


def parts(task: dict) -> dict:
    """What a tile costs of a core beside the network, part by part in one thread, and the decoder's floor."""
    from hage_transfer.running.file_stamp import file_stamp
    from hage_transfer.slides.survey import look, open_config_slide, show
    from hage_transfer.slides.tiles import iter_tiles

    settings, spent, tiles = tile_settings(task), dict.fromkeys(PARTS, 0.0), 0

    @contextmanager
    def of(part: str) -> Iterator[None]:
        start = time.process_time()
        yield
        spent[part] += time.process_time() - start

    with tempfile.TemporaryDirectory() as folder:
        for path in map(Path, task["slides"]):
            with of("hash of the file"):
                file_stamp(path)
            start = time.process_time()
            with open_config_slide(path, settings) as slide:
                spent["opening"] += time.process_time() - start
                with of("tissue and tiles"):
                    looked = look(slide, settings)
                with of("picture and outline"):
                    show(slide, looked, picture=Path(folder) / "a.png", geojson=Path(folder) / "a.geojson")
                with of("reading tiles"):
                    tiles += sum(1 for _ in iter_tiles(slide, looked.grid))
            spent["decoding alone"] += decoding_alone(path, looked.grid)
    return {"parts": {part: seconds / tiles * 1e3 for part, seconds in spent.items()}}


PARTS = ("hash of the file", "opening", "tissue and tiles", "picture and outline", "reading tiles", "decoding alone")


def decoding_alone(path: Path, grid: object) -> float:
    """Seconds of a core to decode, once each, the file's own level-0 tiles that ``grid``'s touch, and do nothing more.

    By the fastest decoders at hand, libdeflate and libjpeg-turbo by imagecodecs.
    """
    import imagecodecs
    import tifffile

    from hage_transfer.slides.jpeg_tiles import jpeg_levels

    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        high, wide = page.tilelength, page.tilewidth
        across = -(-page.imagewidth // wide)
        touched = sorted(
            {
                row * across + column
                for x, y in grid.coords
                for row in range(int(y) // high, int(y + grid.sizes_level0_px[1] - 1e-6) // high + 1)
                for column in range(int(x) // wide, int(x + grid.sizes_level0_px[0] - 1e-6) // wide + 1)
            }
        )
        data = [tiff.filehandle.read_segments([page.dataoffsets[k]], [page.databytecounts[k]]) for k in touched]
        data = [bytes(next(iter(one))[0]) for one in data]
        jpeg = jpeg_levels(tiff, [(page.imagewidth, page.imagelength)]).get(0)
        start = time.process_time()
        for index, one in zip(touched, data, strict=True):
            if jpeg is None:
                page.decode(one, index)
            else:
                imagecodecs.jpeg8_decode(jpeg.head + one[2:])
        return time.process_time() - start


def opened(task: dict) -> Iterator[tuple]:
    """Each slide, open, with its tissue and tiles."""
    from hage_transfer.slides.survey import open_config_slide
    from hage_transfer.slides.tiles import cut_tiles
    from hage_transfer.slides.tissue import find_tissue

    settings = tile_settings(task)
    for path in map(Path, task["slides"]):
        with open_config_slide(path, settings) as slide:
            tissue = find_tissue(slide, settings.tissue)
            yield slide, tissue, cut_tiles(slide, tissue, settings)


def all_tiles(task: dict) -> Iterator:
    """The tiles of all slides."""
    from hage_transfer.slides.tiles import iter_tiles

    for slide, _, grid in opened(task):
        yield from iter_tiles(slide, grid)


def tile_settings(task: dict) -> object:
    """The tiles that are asked for."""
    from hage_transfer.config import SlideSetSettings

    return SlideSetSettings(labels=Path("none"), mpp_um_per_px=task["mpp"], tile_px=task["tile_px"])


def encoder_settings(task: dict) -> object:
    """The encoder that is asked for."""
    from hage_transfer.config import EncoderSettings

    return EncoderSettings(runtime=task["runtime"])


def encoder_of(task: dict) -> object:
    """The encoder, warm."""
    import numpy as np

    from hage_transfer.encode.items import open_encoder

    encoder = open_encoder(encoder_settings(task), device="cpu")
    encoder(np.zeros((8, task["tile_px"], task["tile_px"], 3), np.uint8))
    return encoder
