"""MNIST and Fashion-MNIST from their published idx files, gzipped or plain.

Format: LeCun, Cortes, Burges, "The MNIST database of handwritten digits", section
"File formats": two zero bytes, a type code, the number of dimensions, each dimension
as a big-endian uint32, then the values in C order.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from edge_fd.data.dataset import Dataset
from edge_fd.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    import numpy.typing as npt

CLASS_NAMES = {
    "mnist": tuple("0123456789"),
    # The label table in the README of zalandoresearch/fashion-mnist.
    "fashion_mnist": (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
}

_GZIP_MAGIC = b"\x1f\x8b"
_UBYTE = 0x08


def read_idx(path: Path, dims: int) -> npt.NDArray[np.uint8]:
    """Read an idx file of unsigned bytes with ``dims`` dimensions.

    Raises :class:`UsageError` that names the file when it is missing, is no idx file of
    unsigned bytes, has other dimensions, or is shorter or longer than its header says.
    """
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if not zipped:
                return _parse(raw, path, dims)
            with gzip.open(raw) as file:
                return _parse(file, path, dims)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{path}: cannot be read ({error}); fetch it again") from error


def _parse(file: BinaryIO | gzip.GzipFile, path: Path, dims: int) -> npt.NDArray[np.uint8]:
    head = file.read(4)
    if head != bytes((0, 0, _UBYTE, dims)):
        raise UsageError(
            f"{path}: starts with {head.hex() or 'nothing'}, but an idx file of"
            f" {dims}-dimensional unsigned bytes starts with 0000{_UBYTE:02x}{dims:02x}"
        )
    sizes = file.read(4 * dims)
    if len(sizes) < 4 * dims:
        raise UsageError(f"{path}: ends inside its header; fetch it again")
    shape = struct.unpack(f">{dims}I", sizes)
    expected = math.prod(shape)
    data = _read_exactly(file, expected)
    if len(data) != expected:
        found = f"only {len(data)}" if len(data) < expected else "more"
        raise UsageError(
            f"{path}: its header {shape} asks for {expected} bytes and there are {found};"
            " fetch it again"
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


def _read_exactly(file: BinaryIO | gzip.GzipFile, expected: int) -> bytes:
    """Read up to ``expected`` bytes and one more, in blocks.

    A header can claim any size; blocks keep memory at what the file really holds.
    """
    data = bytearray()
    while len(data) <= expected:
        block = file.read(min(1 << 20, expected + 1 - len(data)))
        if not block:
            break
        data += block
    return bytes(data)


def load_idx(name: str, folder: Path) -> Dataset:
    """Return ``mnist`` or ``fashion_mnist`` from the four published files in ``folder``.

    ``x`` (60000, 28, 28) and ``test_x`` (10000, 28, 28) uint8. Raises
    :class:`UsageError` that names the file at fault.
    """
    x, y = _part(folder, "train")
    test_x, test_y = _part(folder, "t10k")
    if x.shape[1:] != test_x.shape[1:]:
        raise UsageError(
            f"{folder}: training images are {x.shape[1:]} and test images {test_x.shape[1:]};"
            " take all four files from one source"
        )
    return Dataset(
        name=name,
        x=x,
        y=y,
        classes=10,
        test_x=test_x,
        test_y=test_y,
        group=None,
        class_names=CLASS_NAMES[name],
        scale=1 / 255,
    )


def _part(folder: Path, part: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    images = read_idx(_find(folder, f"{part}-images-idx3-ubyte"), 3)
    labels_file = _find(folder, f"{part}-labels-idx1-ubyte")
    labels = read_idx(labels_file, 1)
    if len(images) != len(labels):
        raise UsageError(
            f"{labels_file}: {len(labels)} labels for {len(images)} images;"
            " take all four files from one source"
        )
    if len(labels) and labels.max() > 9:  # noqa: PLR2004 (ten classes)
        raise UsageError(f"{labels_file}: label {labels.max()}; the ten classes are 0 to 9")
    return images, labels.astype(np.int64)


def _find(folder: Path, stem: str) -> Path:
    for path in (folder / stem, folder / f"{stem}.gz"):
        if path.is_file():
            return path
    raise UsageError(
        f"{folder}: holds neither {stem} nor {stem}.gz;"
        " name the folder of the four idx files, or set EDGE_FD_DATA to its parent"
    )
