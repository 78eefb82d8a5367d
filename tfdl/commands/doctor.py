"""`tfdl doctor`: is this machine fit to train and export?  Exit code 1 if anything essential fails."""

import argparse
import os
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from tfdl.core import settings

ESSENTIAL = (
    "tensorflow",
    "keras",
    "numpy",
    "tensorboard",
    "tensorflow-datasets",
    "scikit-learn",
    "tyro",
    "ai-edge-litert",
)
OPTIONAL = ("keras-cv", "keras-nlp", "matplotlib", "safetensors", "torch", "jax", "wandb", "mlflow", "mediapipe", "av")
PYTHONS = ((3, 11), (3, 13))
ENOUGH_DISK = 2e9  # bytes: a run folder with two checkpoints, TensorBoard and exports stays far below


class Finding(NamedTuple):
    state: str  # "ok", "note" or "FAIL"
    name: str
    text: str


def main(argv):
    argparse.ArgumentParser(prog="tfdl doctor", description=__doc__).parse_args(argv)
    failed = 0
    for check in (versions, folders, data, environment, strategies):
        for finding in check():
            print(f"{finding.state:<5} {finding.name:<20} {finding.text}", flush=True)
            failed += finding.state == "FAIL"
    print("\nall essential checks passed" if not failed else f"\n{failed} essential check(s) failed")
    return int(failed > 0)


def versions():
    """Python, then each package: missing ones matter only if they are essential."""
    python = ".".join(map(str, sys.version_info[:3]))
    fits = PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]
    yield Finding("ok" if fits else "FAIL", "python", python if fits else f"{python}; tfdl needs 3.11 to 3.13")
    for name in (*ESSENTIAL, *OPTIONAL):
        try:
            yield Finding("ok", name, metadata.version(name))
        except metadata.PackageNotFoundError:
            if name in ESSENTIAL:
                yield Finding("FAIL", name, f"not installed; `pip install {name}` or `make venv`")
            else:
                yield Finding("note", name, "not installed (optional)")


def folders():
    """Can runs and exports be written here, and is there room?"""
    for name in ("runs", "saved_models"):
        place = Path(name) if Path(name).is_dir() else Path()
        try:
            with tempfile.TemporaryFile(dir=place):
                yield Finding("ok", f"{name}/", f"can be written in {place.absolute()}")
        except OSError as error:
            yield Finding(
                "FAIL", f"{name}/", f"cannot be written in {place.absolute()}: {error.strerror}; go elsewhere"
            )
    free = shutil.disk_usage(".").free
    state = "ok" if free >= ENOUGH_DISK else "note"
    yield Finding(state, "free disk", f"{free / 1e9:.1f} GB" + ("" if state == "ok" else ", which is little"))


def data():
    """The data directory and the prepared sets in it."""
    place = os.environ.get("TFDL_DATA_DIR")
    if not place:
        yield Finding("note", "TFDL_DATA_DIR", "not set: only the embedded digits and what may be downloaded")
    elif not Path(place).is_dir():
        yield Finding("FAIL", "TFDL_DATA_DIR", f"{place} is no folder; correct it or unset it")
    else:
        names = sorted({info.relative_to(place).parts[0] for info in Path(place).glob("*/**/dataset_info.json")})
        yield Finding("ok", "TFDL_DATA_DIR", f"{place}: {len(names)} prepared sets ({', '.join(names) or 'none'})")


def environment():
    """Variables that every other command refuses to start with, and keras.json."""
    try:
        settings.check()
        yield Finding("ok", "environment", "Keras runs on TensorFlow in float32; no variable is in the way")
    except ValueError as error:
        yield Finding("FAIL", "environment", str(error))


def strategies():
    """Devices, and a training step under each strategy that this machine has; nothing in a wrong environment."""
    try:
        settings.check()
    except ValueError:
        return
    # With the CPU split in two, mirrored training can be tried on a machine without GPUs.
    os.environ.setdefault("TFDL_LOGICAL_CPUS", "2")
    try:
        from tfdl.distribution.strategies import NAMES, create, replica_devices

        yield Finding("ok", "devices", ", ".join(replica_devices()))
    except Exception as error:  # a broken TensorFlow can fail in any way, and that is what we are here to say
        yield Finding("FAIL", "devices", f"TensorFlow does not start: {type(error).__name__}: {first_line(error)}")
        return
    for name in NAMES:
        try:
            strategy = create(name)
        except ValueError as error:
            yield Finding("note", f"strategy {name}", f"not here: {first_line(error)}")
            continue
        try:
            loss = training_step(strategy)
            yield Finding("ok", f"strategy {name}", f"{strategy.num_replicas_in_sync} replica(s), loss {loss:.3f}")
        except Exception as error:
            yield Finding("FAIL", f"strategy {name}", f"{type(error).__name__}: {first_line(error)}")


def training_step(strategy):
    """The loss of one step of a one-layer network on 8 constant samples."""
    import keras
    import numpy as np

    from tfdl.train.step import exact

    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        model.compile("sgd", "mse")
    history = exact(model).fit(np.ones((8, 3), "float32"), np.zeros((8, 2), "float32"), batch_size=8, verbose=0)
    return history.history["loss"][0]


def first_line(error):
    return (str(error).strip() or "no message").splitlines()[0]
