"""Every learner ends with the same weights and losses on one device, with accumulation, and on two devices with it."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests import forked

LEARNERS = ["packed", "lora", "distillation", "reward", "dpo", "grpo_tokens", "grpo_answers", "ppo"]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    path = tmp_path_factory.mktemp("learners") / "results.npz"
    one_thread = {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1", "TFDL_LOGICAL_CPUS": "2"}
    done = forked.python(Path(__file__).with_name("replicas.py"), str(path), env=os.environ | one_thread, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(np.load(path))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["accumulated", "both"])
@pytest.mark.parametrize("learner", LEARNERS)
def test_weights_and_losses_equal_those_of_one_device(results, learner, way):
    names = [key.split("/")[2] for key in results if key.startswith(f"{learner}/one/")]
    assert any(name.startswith("weight") for name in names) and "log_loss" in names
    for name in names:
        one, other = results[f"{learner}/one/{name}"], results[f"{learner}/{way}/{name}"]
        np.testing.assert_allclose(other, one, atol=1e-6, rtol=1e-5 if name.startswith("log") else 0, err_msg=name)
