"""What every test may rely on: quiet TensorFlow, CPU only, fresh Keras state, the data directory."""

import gc
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import pytest

from tests import cpu_time, forked
from tests.topic_selection import Selection

ROOT = Path(__file__).parent.parent
SELECTION = pytest.StashKey()
TOGETHER = {"train", "export", "distribution", "inference", "commands", "session", "test_package.py"}


def pytest_addoption(parser):
    parser.addoption("--topic", metavar="KEY", help="run only the tests of a topic: `tfdl list` prints the keys")
    parser.addoption("--cpu", action="store_true", help="print the CPU seconds of the files that take most")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    gc.set_threshold(20_000, 20, 20)  # building graphs makes objects by the million; looking for dead ones took 5 %
    if config.getoption("cpu"):
        config.pluginmanager.register(cpu_time)
    key = config.getoption("topic")
    try:
        config.stash[SELECTION] = Selection(key) if key else None
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_ignore_collect(collection_path, config):
    """With --topic, True for the files that need not even be imported; else no opinion."""
    selection = config.stash[SELECTION]
    if selection and collection_path.suffix == ".py":
        return not selection.may_be_in(collection_path, collection_path.read_text(encoding="utf-8")) or None
    return None


def pytest_collection_modifyitems(config, items):
    """Tests that share what takes long to make come first, and so stay in one process (`--dist worksteal`)."""
    items.sort(key=lambda item: item.path.relative_to(ROOT / "tests").parts[0] not in TOGETHER)
    selection = config.stash[SELECTION]
    if selection:
        kept = [item for item in items if selection.has(item.path, item.name)]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept
        for item in items:  # the smoke run of the topic's recipe, slow or not
            if item.name.partition("[")[2].removesuffix("]") in selection.recipes:
                item.own_markers[:] = [mark for mark in item.own_markers if mark.name != "slow"]


def pytest_unconfigure():
    """The fork server of tests/forked.py ends before the tests' process does."""
    forked.stop()


@pytest.fixture(autouse=True)
def same_start():
    """The same random numbers in every test, whatever ran before it; tests that need no Keras don't load it."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture
def no_reports(monkeypatch):
    """Runs draw no figures and write nothing for TensorBoard, half of what a training of few steps takes."""
    from tfdl.session import session

    monkeypatch.setattr(session, "training_pictures", lambda *arguments, **options: [])
    monkeypatch.setattr(session, "tensorboard_callbacks", lambda *arguments, **options: [])


@pytest.fixture(scope="session")
def data_dir():
    """The folder of prepared data sets; without one the test is skipped, and says so."""
    folder = os.environ.get("TFDL_DATA_DIR")
    if not folder:
        pytest.skip("TFDL_DATA_DIR is not set: no real data sets to read")
    if not Path(folder).is_dir():
        pytest.skip(f"TFDL_DATA_DIR={folder} does not exist: no real data sets to read")
    return Path(folder)
