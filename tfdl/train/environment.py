"""What a run should remember about where it ran: versions, devices, the command and the commit."""

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path

import keras
import tensorflow as tf

PACKAGES = ("tfdl", "tensorflow", "keras", "keras-cv", "keras-nlp", "tensorflow-datasets", "ai-edge-litert", "numpy")


def environment(strategy):
    """A JSON-ready dict.  Holds no host name, user name or absolute path."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "versions": versions(),
        "backend": keras.backend.backend(),
        "devices": [device.name for device in tf.config.list_logical_devices()],
        "strategy": type(strategy).__name__,
        "replicas": strategy.num_replicas_in_sync,
        "command": command(),
        "commit": commit(),
    }


def versions():
    """Package -> version, installed ones only."""
    installed = {d.metadata["Name"].lower().replace("_", "-") for d in importlib.metadata.distributions()}
    return {name: importlib.metadata.version(name) for name in PACKAGES if name in installed}


def command():
    """The command that started this process, with the script's path relative to the working folder."""
    script = Path(sys.argv[0])
    name = os.path.relpath(script) if script.is_absolute() and script.exists() else str(script)
    if name.startswith(".."):
        name = script.name
    return shlex.join(["python", name, *sys.argv[1:]])


def commit():
    """The checkout's commit, with "+changes" if files differ from it; None outside a checkout."""
    try:
        root = Path(__file__).parent
        describe = ["git", "describe", "--always", "--abbrev=12", "--dirty=+changes"]
        return subprocess.run(describe, cwd=root, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
