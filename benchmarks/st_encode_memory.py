"""Peak memory of the process while sections are encoded.

    OMP_NUM_THREADS=1 python benchmarks/st_encode_memory.py DATA --layout her2st --sections C2 C3 C4

Encodes by the default encoder into a folder that is thrown away; prints anonymous memory, without mapped files.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `hage` does

from pretrain_scaling import PeakMemory


def main() -> None:
    """Encodes and prints the peaks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--layout", default="her2st")
    parser.add_argument("--sections", nargs="*")
    options = parser.parse_args()

    import hage_transfer as ht
    from hage_transfer.running.memory import keep_freed_memory

    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder, PeakMemory() as encoding:
        ht.encode_sections(options.root, layout=options.layout, out=folder, sections=options.sections)
    print(f"peak {encoding.peak_kb / 2**10:.0f} MiB")


if __name__ == "__main__":
    main()
