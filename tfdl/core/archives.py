"""Files that claim to hold far more than they have bytes: they were made to fill the memory, and are refused unread.

A few kilobytes of compressed zeros, or of an HDF5 header, can name terabytes.
"""

import math
import zipfile

import h5py

GROWTH, SPARE = 20, 1 << 26  # bytes of content for each byte of a file, and what any file may have beside that


def check_claim(claimed, size):
    """Raises ValueError if a file of `size` bytes says that it holds so many more: `claimed`, in bytes."""
    if claimed > GROWTH * size + SPARE:
        raise ValueError(f"its {size:,} bytes claim to be {claimed:,} bytes of numbers")


def check_zip(archive):
    """The same for all members of an open `zipfile.ZipFile` together; reading one then stops at what it claims."""
    members = archive.infolist()
    check_claim(sum(member.file_size for member in members), sum(member.compress_size for member in members))


def check_hdf5(file, size):
    """The same for the numbers in an HDF5 file, of which only the names are read; also if they lie in other files.

    Args:
        file: a path or a binary file.
        size: its bytes.
    """
    claimed = 0

    def visit(name, item):
        nonlocal claimed
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise ValueError(f"its {name} lies in another file")
            claimed += max(
                item.nbytes, math.prod(item.chunks or ()) * item.dtype.itemsize
            )  # a chunk is read as a whole
            check_claim(claimed, size)

    with h5py.File(file, "r") as opened:
        opened.visititems(visit)


def read_zip(path):
    """An open `zipfile.ZipFile` that is no larger than it looks.  Raises ValueError, zipfile.BadZipFile or OSError."""
    archive = zipfile.ZipFile(path)
    try:
        check_zip(archive)
    except ValueError:
        archive.close()
        raise
    return archive
