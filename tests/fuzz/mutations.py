"""Damage to files, by a seeded generator: bytes as disks spoil them, texts as people do, h5 as other programs write."""

import random

import h5py
import numpy as np

NASTY = (
    *(
        "nan",
        "NA",
        "None",
        "null",
        "~",
        "true",
        "inf",
        ".inf",
        "-.inf",
        "1e400",
        "-1",
        "0",
        "1e-400",
        "9" * 5000,
        "1:60",
    ),
    *("2024-13-45", "!!bool x", "!!int x", "!!binary x", "!!python/name:os.system", "&a", "*a", "<<: *a", "[" * 60),
    *(
        "[",
        "]",
        "{",
        "}",
        "{}",
        "[]",
        ":",
        ": ",
        "- ",
        "#",
        "'",
        '"',
        "\n",
        "\n\n",
        "\t",
        ",",
        ",,",
        ";",
        "\x00",
        "\ufeff",
    ),
    *("\ud7ff", "é", "x" * 300, "../..", "/", "/etc/passwd", ".", "", " ", "%s", "{0}", "\\", "\\N", "\r", "\u2028"),
)


def of_bytes(rng: random.Random, data: bytes) -> bytes:
    """One to four faults: bits, runs of one byte, parts lost, doubled, moved or foreign, or the end cut off."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        size = len(out)
        if not size:
            return bytes(rng.randbytes(rng.randint(0, 64)))
        start = rng.randrange(min(size, 2048) if rng.random() < 0.6 else size)  # headers are where damage tells
        stop = min(size, start + rng.choice((1, 1, 2, 4, 8, 64, 1024)))
        fault = rng.randrange(8)
        if fault == 0:
            out[start] ^= 1 << rng.randrange(8)
        elif fault == 1:
            out[start:stop] = bytes([rng.choice((0, 0xFF, 0x7F, 0x80))]) * (stop - start)
        elif fault == 2:
            del out[start:stop]
        elif fault == 3:
            out[start:start] = out[start:stop]
        elif fault == 4:
            out[start:stop] = rng.randbytes(stop - start)
        elif fault == 5:
            out = out[: rng.randrange(size)]
        elif fault == 6:
            out[start : start + 8] = rng.choice((2**63, 2**40, 2**31, 2**16, 0)).to_bytes(8, "little")
        else:
            other = rng.randrange(size)
            out[start:stop] = out[other : other + stop - start]
    return bytes(out)


def of_text(rng: random.Random, data: bytes) -> bytes:
    """Words, lines and places of a text replaced, doubled, lost or moved; now and then bytes."""
    if rng.random() < 0.2:
        return of_bytes(rng, data)
    text = data.decode("utf-8")
    for _ in range(rng.randint(1, 4)):
        lines = text.split("\n")
        line = rng.randrange(len(lines))
        fault = rng.randrange(6)
        if fault == 0:
            lines[line] = rng.choice(NASTY)
        elif fault == 1:
            words = lines[line].replace(",", " , ").replace(":", " : ").split(" ")
            words[rng.randrange(len(words))] = rng.choice(NASTY)
            lines[line] = " ".join(words)
        elif fault == 2:
            lines.insert(line, lines[rng.randrange(len(lines))])
        elif fault == 3:
            del lines[line]
        elif fault == 4:
            lines[line] = rng.choice((" ", "\t", "  ")) + lines[line]
        else:
            place = rng.randrange(len(lines[line]) + 1)
            lines[line] = lines[line][:place] + rng.choice(NASTY) + lines[line][place:]
        text = "\n".join(lines)
    return text.encode("utf-8", "surrogatepass")


def of_h5(rng: random.Random, path) -> None:
    """A dataset or an attribute of another kind, place, shape or type."""
    with h5py.File(path, "r+") as file:
        name = rng.choice([*file, "features", "coords", "keys"])
        if rng.random() < 0.4 and len(file.attrs):
            key = rng.choice(list(file.attrs))
            file.attrs[key] = rng.choice((np.arange(3), h5py.Empty("f4"), -1, 2.5, "x", b"\xff", np.inf, np.nan, 2**40))
            return
        if name in file:
            del file[name]
        fault = rng.randrange(9)
        if fault == 0:
            file[name] = h5py.SoftLink(rng.choice(("/", "/nowhere", "/features")))
        elif fault == 1:
            file[name] = h5py.ExternalLink(rng.choice(("other.h5", "/etc/passwd")), "/features")
        elif fault == 2:
            file.create_group(name)
        elif fault == 3:
            file[name] = h5py.Empty(rng.choice(("f4", "i8")))
        elif fault == 4:
            shape = rng.choice(((0, 4), (7,), (7, 0), (1, 7, 4), (2, 7, 4), (10**9, 4), (10**6, 10**4), ()))
            chunks = tuple(max(1, min(side, 100)) for side in shape) if shape and 0 not in shape else None
            file.create_dataset(name, shape, rng.choice(("f4", "f2", "i8", "f8")), chunks=chunks)
        elif fault == 5:
            kind = rng.choice(
                (h5py.ref_dtype, h5py.vlen_dtype(np.float32), np.dtype([("a", "f4")]), h5py.string_dtype())
            )
            file.create_dataset(name, (7,), kind)
        elif fault == 6:
            file.create_dataset(name, (7, 4), "f4", external=[("/etc/hostname", 0, 112)])
        elif fault == 7:
            values = rng.choice((np.nan, np.inf, -1.0, 0.5, 1e30))
            file[name] = np.full((7, rng.choice((2, 4))), values, rng.choice(("f4", "f8")))
