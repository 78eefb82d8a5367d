"""Every model on Keras's JAX and PyTorch backends: TensorFlow's outputs with the same weights, bfloat16, one `fit`."""

import functools
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.backend_twins import NAMES

pytestmark = pytest.mark.extras
ROOT = Path(__file__).resolve().parent.parent
XLA = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"  # compiling takes most of the time
FEW = 5  # weights that two steps on four images may leave as they are: none of the images reaches their units


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A function: backend -> its results, from one process for all models."""
    folder = tmp_path_factory.mktemp("twins")

    @functools.cache
    def of(backend):
        if importlib.util.find_spec(backend) is None:
            pytest.skip(f"{backend} is not installed: `make test-backends` has it")
        environment = os.environ | {
            "KERAS_BACKEND": backend,
            "PYTHONPATH": str(ROOT),
            "XLA_FLAGS": XLA,
            "JAX_PLATFORMS": "cpu",
        }
        command = [sys.executable, str(ROOT / "tests" / "backend_twins.py"), str(folder)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1200)
        assert done.returncode == 0, done.stderr[-3000:]
        with np.load(folder / f"{backend}.npz") as found:
            return dict(found)

    of("tensorflow")
    return of


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("backend", ["torch", pytest.param("jax", marks=pytest.mark.slow)])  # compiling takes minutes
def test_a_model_computes_what_it_does_on_tensorflow_and_learns(results, backend, name):
    expected, found = of_model(results("tensorflow"), name), of_model(results(backend), name)
    assert "error" not in expected, str(expected["error"])[-1500:]
    assert "error" not in found, str(found["error"])[-1500:]
    # What a detector of two stages says of its proposals changes with their order, which bfloat16's rounding decides
    for output, right in expected.items():
        largest = max(1, np.abs(right).max())
        for what in (output, f"loaded/{output}"):
            np.testing.assert_allclose(found[what], right, rtol=0, atol=1e-5 * largest, err_msg=what)
        if "proposals" not in expected or output in ("objectness", "anchor_offsets"):
            np.testing.assert_allclose(found[f"mixed/{output}"], right, rtol=0, atol=0.05 * largest, err_msg=output)
    assert np.isfinite(found["losses"]).all()
    # A bias of keys adds the same to all scores of a query, so that no loss depends on it
    still = [path for path in found["still"] if not path.endswith("attention/key/bias")]
    assert len(still) <= FEW, still


def of_model(results, name):
    return {key.removeprefix(f"{name}/"): value for key, value in results.items() if key.startswith(f"{name}/")}
