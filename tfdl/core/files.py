"""Writing files so that a crash, a kill or a full disk never leaves half of one."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path


def write_bytes(path, data):
    """Writes to a temporary name beside `path`, flushes to disk, renames.  Raises OSError naming the file."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise OSError(
            error.errno,
            f"Cannot write {path}: {error.strerror}. What stood there before is unchanged; free some"
            " space or choose a writable folder.",
        ) from error


def write_text(path, text):
    write_bytes(path, text.encode("utf-8"))


def write_json(path, value):
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path):
    """The JSON value in `path`.  Raises FileNotFoundError or ValueError naming the file."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no file {path}.") from None
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); restore it or delete its folder.") from None


def model_file(source):
    """A .keras file as it is; of a run folder the model of its best epoch.  Raises FileNotFoundError."""
    file = source / "checkpoints" / "best" / "model.keras" if source.is_dir() else source
    if not file.is_file():
        raise FileNotFoundError(
            f"There is no model at {file}; give a .keras file or a folder that `tfdl run` has written."
        )
    return file


@contextlib.contextmanager
def replaced(folder, *, marker):
    """Yields an empty folder beside `folder` that takes its place if the block succeeds and vanishes if it fails.

    An existing `folder` is replaced only if it is empty or holds the file `marker`, so that no other data is lost.

    Raises:
        ValueError: the folder is something else.
        OSError: nothing can be written there; the message has a remedy.
    """
    folder = Path(folder).absolute()
    if folder.exists() and not (folder.is_dir() and (not any(folder.iterdir()) or (folder / marker).exists())):
        raise ValueError(f"{folder} exists and holds no {marker}, so it is left alone; choose another folder.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".new", dir=folder.parent))
    except OSError as error:
        remedy = f"Cannot write to {folder.parent}: {error.strerror}. Choose a folder that can be written."
        raise type(error)(error.errno, remedy) from error
    try:
        yield fresh
        fresh.chmod(0o777 & ~umask())  # mkdtemp makes it private
        old = fresh.with_suffix(".old")
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
        shutil.rmtree(old, ignore_errors=True)  # only now that the new one stands in its place
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def checksums(folder):
    """{relative path: {"bytes", "sha256"}} of every file below `folder`."""
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in files
    }


def sha256(path):
    """Hexadecimal digest of a file, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
