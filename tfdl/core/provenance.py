"""The origin of a result: command, commit and versions, but no host name, user name or absolute path."""

import importlib.metadata
import os
import shlex
import subprocess
import sys
from pathlib import Path

PACKAGES = ("tfdl", "tensorflow", "keras", "keras-cv", "keras-nlp", "tensorflow-datasets", "ai-edge-litert", "numpy")


def command():
    """The command that repeats this process: `tfdl run NAME` for a recipe, otherwise the script as a relative path.

    It omits --run.resume, because a repetition starts from the beginning.
    """
    script = Path(sys.argv[0])
    flags = [flag for flag in sys.argv[1:] if flag != "--run.resume"]
    if script.suffix == ".py" and script.parent.parent.name == "recipes":
        return shlex.join(["tfdl", "run", script.stem, *flags])
    name = os.path.relpath(script) if script.is_absolute() and script.exists() else str(script)
    return shlex.join(["python", script.name if name.startswith("..") else name, *flags])


def commit():
    """The commit of the checkout, with "+changes" if files differ from it; None outside a checkout."""
    describe = ["git", "describe", "--always", "--abbrev=12", "--dirty=+changes", "--exclude=*"]
    try:
        done = subprocess.run(
            describe, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def versions():
    """Package -> version, of those that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
