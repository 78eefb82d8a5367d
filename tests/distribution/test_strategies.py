"""One name for where training runs, and a clear sentence where it can't."""

import os

import keras
import pytest
import tensorflow as tf

from tests import forked
from tfdl.distribution import strategies


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.delenv("TFDL_LOGICAL_CPUS", raising=False)
    strategies.create.cache_clear()
    yield
    strategies.create.cache_clear()


@pytest.mark.parametrize("name", ["auto", "single"])
def test_one_device_is_the_default(name):
    assert strategies.create(name).num_replicas_in_sync == 1


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(
        ValueError, match="Unknown strategy 'mirorred'; choose one of auto, single, mirrored, multi_worker, tpu"
    ):
        strategies.create("mirorred")


@pytest.mark.skipif(len(tf.config.list_physical_devices("GPU")) > 1, reason="this machine can mirror")
def test_mirrored_on_one_device_says_what_to_do():
    with pytest.raises(ValueError, match="needs two or more devices, but this machine has 1 .*TFDL_LOGICAL_CPUS=2"):
        strategies.create("mirrored")


def test_tpu_without_a_tpu_says_what_to_do():
    with pytest.raises(ValueError, match=r"Strategy 'tpu' found no TPU .*use --run\.strategy auto"):
        strategies.create("tpu")


def test_other_backends_are_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="needs the TensorFlow backend; this process runs Keras on jax"):
        strategies.create("mirrored")
    assert strategies.create("single").num_replicas_in_sync == 1


def test_splitting_a_cpu_in_use_is_refused(monkeypatch):
    tf.constant(0)
    monkeypatch.setenv("TFDL_LOGICAL_CPUS", "5")
    with pytest.raises(ValueError, match="5 logical CPUs were requested .*, but TensorFlow already runs with"):
        strategies.create("mirrored")


def test_logical_cpus_rehearse_a_mirrored_run():
    program = "from tfdl.distribution import strategies as s; x = s.create('mirrored'); " + (
        "assert x is s.create('mirrored'); print(x.num_replicas_in_sync, s.create('auto').num_replicas_in_sync)"
    )
    done = forked.code(program, env=os.environ | {"TFDL_LOGICAL_CPUS": "3"})
    assert done.stdout.split() == ["3", "1"], done.stderr[-2000:]
