"""What libraries raise on files that are damaged, or not what their ending says."""

import struct
import zlib

from anndata._io.specs.registry import IORegistryError

READ_FAULTS = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    AssertionError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
    IORegistryError,  # an element of a later anndata
)
