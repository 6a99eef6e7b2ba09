"""What a stranger's picture does to Pillow."""

from __future__ import annotations

import struct

# What Pillow raises for damaged bytes; its own UnidentifiedImageError is an OSError. RuntimeError is what libheif's
# own limits end in, and the last four come where tags of EXIF are of another type than they should be.
UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    RuntimeError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
)
