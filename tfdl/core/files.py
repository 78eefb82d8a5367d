"""Atomic file writes: a crash, a kill or a full disk never leaves an incomplete file; reading untrusted folders."""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from pathlib import Path

STALE = 24 * 3600  # seconds after which an unfinished folder is assumed to belong to a process that was killed


def write_bytes(path, data):
    """Writes to a temporary name beside `path`, flushes to disk, renames.

    A symbolic link at `path` is replaced; the file that it points to is not touched.

    Raises:
        OSError: the file cannot be written; the message names it, and an earlier file there is unchanged.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:  # x: never follows a link that another process has placed there
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(
            error.errno,
            f"Cannot write {path}: {error.strerror}. An earlier file there is unchanged; free some space or choose a"
            " writable folder.",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()  # exists only after an error


def write_text(path, text):
    """In UTF-8.  The bytes of a file's name that are none become escapes, which JSON reads back as they were."""
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def write_json(path, value):
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path, *, kind=object):
    """The JSON value in `path`.

    Args:
        path: a file; pipes and devices are refused.
        kind: the class that the value must have, for example `dict`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not JSON, or its value has another class; the message names the file.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    if not path.is_file():
        raise ValueError(f"{path} is not a regular file.")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); restore it or delete its folder.") from None
    if not isinstance(value, kind):
        raise ValueError(f"{path} contains a {type(value).__name__} instead of a {kind.__name__}; restore it.")
    return value


def refuse_links(folder, *names):
    """Raises ValueError if one of `names`, or anything below it, is neither a file nor a folder.

    A folder may come from a stranger.  A link in it would have other files read or overwritten; reading a pipe would
    never end.

    Args:
        folder: the user has named it, so it may be a link itself.
        names: relative paths; what does not exist is passed over.
    """
    for name in names:
        path = Path(folder)
        for part in Path(name).parts:
            path = path / part
            refuse_link(path)
        for place, folders, files in os.walk(path):
            for inside in (*folders, *files):
                refuse_link(Path(place, inside))


def refuse_link(path):
    """The same of one path, without what is below it."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISLNK(mode):
        raise ValueError(f"{path} is a symbolic link, which is not followed; put what it points to in its place.")
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ValueError(f"{path} is a pipe or a device; remove it.")


def model_file(source):
    """The .keras file that `source` is, or that of the best epoch in a run folder.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is a link in the folder.
    """
    file = source
    if source.is_dir():
        file = source / "checkpoints" / "best" / "model.keras"
        refuse_links(source, file.relative_to(source))
    if not file.is_file():
        raise FileNotFoundError(
            f"There is no model at {file}; give a .keras file or a folder that `tfdl run` has written."
        )
    return file


@contextlib.contextmanager
def replaced(folder, *, marker):
    """Yields an empty folder beside `folder` that replaces it if the block succeeds and is deleted if the block fails.

    An existing `folder` is replaced only if it is empty or contains the file `marker`, so that no other data is lost.

    Raises:
        ValueError: the folder is something else.
        OSError: it cannot be written, or the disk is full; the message names the file and a remedy.
    """
    folder = Path(folder).absolute()
    if folder.is_symlink():
        raise ValueError(f"{folder} is a symbolic link; give the folder that it points to.")
    if folder.exists() and not (folder.is_dir() and (not any(folder.iterdir()) or (folder / marker).exists())):
        raise ValueError(f"{folder} exists and contains no {marker}, so it is not replaced; choose another folder.")
    fresh = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.new")
    old = fresh.with_suffix(".old")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(folder)
        fresh.mkdir()
    except OSError as error:
        remedy = f"Cannot write to {folder.parent}: {error.strerror}. Choose a folder that can be written."
        raise OSError(error.errno, remedy) from error
    try:
        yield fresh
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
    except OSError as error:
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise OSError(error.errno, in_place_of(error, fresh, folder)) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)  # only after the new one is in place


def in_place_of(error, fresh, folder):
    """The message of `error`, with paths in the temporary folder `fresh` shown as paths in `folder`."""
    text = error.strerror or str(error)
    if error.filename is not None:
        text = f"{error.filename}: {text}."
    elif str(fresh) not in text:
        text = f"Cannot write {folder}: {text}."
    return text.replace(str(fresh), str(folder))


def remove_stale(folder):
    """Deletes the temporary folders beside `folder` of processes that were killed inside `replaced`."""
    ours = re.compile(re.escape(f".{folder.name}.") + r"[0-9a-f]{8}\.new")
    for path in folder.parent.iterdir():
        if ours.fullmatch(path.name) and path.is_dir() and time.time() - path.stat().st_mtime > STALE:
            shutil.rmtree(path, ignore_errors=True)


def umask():
    """The permission bits that new files of this process do not get.

    `os.umask` can only be read by changing it, which would affect files that other threads create in between.
    """
    with tempfile.TemporaryDirectory() as place:
        probe = Path(place) / "probe"
        os.close(os.open(probe, os.O_CREAT | os.O_WRONLY, 0o777))
        return 0o777 & ~probe.stat().st_mode


def checksums(folder):
    """{relative path: {"bytes", "sha256"}} of every file below `folder`."""
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in files
    }


def sha256(path):
    """Hexadecimal digest of a file, read in chunks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
