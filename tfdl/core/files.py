"""Writing files so that a crash, a kill or a full disk never leaves half of one."""

import hashlib
import json
import os
import shutil
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
        temporary.unlink(missing_ok=True)
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


def replace_folder(new, old):
    """Puts the complete folder `new` in the place of `old`, which may exist; both on one file system."""
    new, old = Path(new), Path(old)
    old.parent.mkdir(parents=True, exist_ok=True)
    aside = old.with_name(f".{old.name}.{os.getpid()}.old")
    if old.exists():
        os.replace(old, aside)
    os.replace(new, old)
    shutil.rmtree(aside, ignore_errors=True)


def sha256(path):
    """Hexadecimal digest of a file, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
