"""Which pictures are meant: files, folders, patterns and a list on standard input; and reading one for a person."""

import glob
import os
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from tfdl.core import pictures

STANDARD_INPUT = "-"
ORIENTATION = 274  # the EXIF tag; from 5 on the picture is stored on its side
LONGEST = 1200  # pixels of the longer side of a photograph in a drawing


@dataclass(frozen=True)
class Broken:
    """A picture that could not be read.

    Attributes:
        path: as it was given or found.
        reason: in words.
    """

    path: str
    reason: str


def found(words, lines=(), *, suffixes=pictures.SUFFIXES, what="picture"):
    """Paths of pictures as text, or `Broken`, one by one.

    Args:
        words: files, folders (searched with all folders inside, in the order of names), patterns such as
            "photos/**/*.jpg", and "-" for the paths in `lines`.  A file that exists is never taken for a pattern.
        lines: an iterable of paths, read as they come; empty lines are skipped.
        suffixes: of the files that are meant in a folder.
        what: they hold.
    """
    for word in words:
        word = os.fspath(word)
        if word == STANDARD_INPUT:
            for line in lines:
                if name := line.rstrip("\r\n"):
                    yield from in_place(name, suffixes, what)
        elif glob.has_magic(word) and not os.path.lexists(word):
            matches = sorted(glob.glob(os.path.expanduser(word), recursive=True))
            if not matches:
                yield Broken(word, "no file matches this pattern")
            for match in matches:
                yield from in_place(match, suffixes, what)
        else:
            yield from in_place(os.path.expanduser(word), suffixes, what)


def in_place(path, suffixes, what):
    """The pictures at a path that is no pattern."""
    if not os.path.isdir(path):
        yield path
        return
    nothing = True
    for folder, inside, files in os.walk(path):  # links to folders are not followed: they may lead in circles
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and name.lower().endswith(suffixes):
                nothing = False
                yield os.path.join(folder, name)
    if nothing:
        yield Broken(path, f"no {what} is in this folder ({', '.join(suffixes)})")


def each(items, files):
    """Paths as text, arrays or `Broken`, one by one; `files` says which ones a path stands for, as `found`."""
    for item in items:
        if isinstance(item, (str, os.PathLike)):
            yield from files([item])
        else:
            yield item


def content(path):
    """The bytes of a regular file.

    Raises:
        OSError: it cannot be read, or it is a pipe or a device, which might never end.
    """
    with open(path, "rb", opener=without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("it is not a regular file")
        return file.read()


def without_waiting(path, flags):
    """Opens a pipe without waiting for somebody to write to it."""
    return os.open(path, flags | os.O_NONBLOCK)


def photograph(path):
    """The picture as a person sees it: (h, w, 3) uint8, turned upright, its longer side at most `LONGEST` pixels."""
    with warnings.catch_warnings(), Image.open(Path(path)) as image:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `pictures` has the limit
        image.draft("RGB", (LONGEST, LONGEST))  # JPEG: decoded at a fraction
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):  # 16 bits: what Pillow would clip at 255
            upright = Image.fromarray((np.asarray(upright) >> 8).astype("uint8"))
        if "A" in upright.mode or "transparency" in upright.info:
            upright = on_white(upright)
        return thumbnail(upright.convert("RGB"))


def thumbnail(image):
    """A picture, (h, w, 3) uint8 or Pillow's, with at most `LONGEST` pixels on its longer side: (h, w, 3) uint8."""
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.thumbnail((LONGEST, LONGEST))
    return np.asarray(image)


def size(path):
    """Height and width of the picture in a file, as a person sees it."""
    with Image.open(path) as image:
        height, width = image.height, image.width
        return (width, height) if image.getexif().get(ORIENTATION, 1) > 4 else (height, width)


def on_white(image):
    """Transparent parts show the paper."""
    image = image.convert("RGBA")
    paper = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(paper, image)
