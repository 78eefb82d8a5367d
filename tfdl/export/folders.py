"""Folders that appear complete or not at all, and the checksums of what is in them."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path


@contextlib.contextmanager
def replaced(folder, *, marker):
    """Yields an empty folder beside `folder` that takes its place if the block succeeds and vanishes if it fails.

    An existing `folder` is replaced only if it is empty or holds the file `marker`, so that no other data is lost.
    Raises ValueError for a folder that is something else, OSError with a remedy where nothing can be written.
    """
    folder = Path(folder).absolute()
    if folder.exists() and not (folder.is_dir() and (not any(folder.iterdir()) or (folder / marker).exists())):
        raise ValueError(f"{folder} exists and is no earlier export (it has no {marker}); choose another folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".new", dir=folder.parent))
    except OSError as error:
        remedy = f"cannot write to {folder.parent} ({error.strerror}); choose a folder that can be written"
        raise type(error)(error.errno, remedy) from error
    try:
        yield fresh
        fresh.chmod(0o777 & ~umask())  # mkdtemp makes it private
        swap(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def swap(fresh, folder):
    """Two renames; the older folder is deleted only once the new one stands in its place."""
    old = fresh.with_suffix(".old")
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def checksums(folder, *, leave_out=()):
    """{relative path: {"bytes", "sha256"}} of every file below `folder`."""
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in files
        if path.relative_to(folder).as_posix() not in leave_out
    }


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path, text):
    """Writes to a temporary name and renames, so that no reader ever sees half a file."""
    temporary = Path(path).with_name(f".{Path(path).name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
