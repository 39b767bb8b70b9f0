"""Damage to files, by a seeded generator: bytes as disks spoil them, texts as people do, h5 as other programs write."""

import random
import re
import struct

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


def of_lengths(rng: random.Random, data: bytes) -> bytes:
    """One to three lengths that HDF5 takes memory or steps by: of texts, their collections, types, shapes, messages."""
    out = bytearray(data)
    collections = [match.start() for match in re.finditer(b"GCOL\x01", data)]
    fields = [(place + 8, "Q") for place in collections]
    for place in collections:  # lengths (and numbers) of the texts in it, and of its free part
        at, end = place + 16, place + int.from_bytes(data[place + 8 : place + 16], "little")
        while at + 16 <= min(end, len(data)):
            number, length = struct.unpack_from("<H6xQ", data, at)
            fields += [(at, "H"), (at + 8, "Q")]
            at += 16 + (length + 7) // 8 * 8 if number else len(data)
        for match in re.finditer(re.escape(struct.pack("<Q", place)), data):  # references: length, collection, number
            fields += [(match.start() - 4, "I")] * 4 + [(match.start(), "Q"), (match.start() + 8, "I")]
    for match in re.finditer(rb"[\x10-\x1a\x30-\x3a].{3}", data, re.DOTALL):  # types: class and bits, then a size
        if 0 < int.from_bytes(data[match.end() : match.end() + 4], "little") < 10_000:
            fields.append((match.end(), "I"))
    for match in re.finditer(rb"[\x01\x02][\x01-\x03][\x00\x01]", data):  # shapes
        fields += [(match.start() + 4, "Q"), (match.start() + 8, "Q")]
    for _ in range(rng.randint(1, 3)):
        place, form = rng.choice(fields)
        largest = 2 ** (8 * struct.calcsize(form)) - 1
        few = (0, 1, 15, 16, 255, 4096, 65_535, len(data), 10**6, 10**9, 2**31 - 1, 4 * 10**9, 2**40, 2**63, largest)
        if 0 <= place <= len(out) - struct.calcsize(form):
            struct.pack_into(f"<{form}", out, place, min(rng.choice(few), largest))
    return bytes(out)
