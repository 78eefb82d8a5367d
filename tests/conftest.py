"""What every test may rely on: quiet TensorFlow, CPU only, fresh Keras state, the data directory."""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import pytest

from tests import forked

ROOT = Path(__file__).parent.parent


def pytest_unconfigure():
    """The fork server of tests/forked.py ends before the tests' process does."""
    forked.stop()


@pytest.fixture(autouse=True)
def same_start():
    """The same random numbers in every test, whatever ran before it; tests that need no Keras don't load it."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture(scope="session")
def data_dir():
    """The folder of prepared data sets; without one the test is skipped, and says so."""
    folder = os.environ.get("TFDL_DATA_DIR")
    if not folder:
        pytest.skip("TFDL_DATA_DIR is not set: no real data sets to read")
    if not Path(folder).is_dir():
        pytest.skip(f"TFDL_DATA_DIR={folder} does not exist: no real data sets to read")
    return Path(folder)
