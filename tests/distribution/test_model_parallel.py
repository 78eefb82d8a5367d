"""Layouts on the JAX backend: 8 devices compute what one does, and each holds its part; other backends are refused."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tfdl.distribution.model_parallel import check_sharding, model_parallel, transformer_layout


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """ "model/devices/name" -> array, from one process that has JAX and 8 devices."""
    pytest.importorskip("jax", reason="JAX is not installed: `make test-extras` has it")
    path = tmp_path_factory.mktemp("sharded") / "results.npz"
    places = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0",  # compiles sooner
        "PYTHONPATH": os.pathsep.join(places),
    }
    program = Path(__file__).with_name("sharded.py")
    done = subprocess.run(
        [sys.executable, str(program), str(path)], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(np.load(path))


@pytest.mark.extras
@pytest.mark.parametrize("model", ["vit", "decoder"])
def test_eight_devices_compute_and_train_as_one(results, model):
    one = {key.split("/", 2)[2]: v for key, v in results.items() if key.startswith(f"{model}/1/")}
    compared = [key for key in one if key in ("logits", "losses") or key.startswith("weight ")]
    assert len(compared) > 30
    assert one["losses"][1] < one["losses"][0]
    for key in compared:
        np.testing.assert_allclose(results[f"{model}/8/{key}"], one[key], rtol=0, atol=1e-5, err_msg=key)


@pytest.mark.extras
@pytest.mark.parametrize("model", ["vit", "decoder"])
@pytest.mark.parametrize("path, axis", [
    ("block0_attention/qkv/kernel", 1), ("block0_attention/qkv/bias", 0), ("block0_attention/project/kernel", 0),
    ("block0_attention/project/bias", None), ("block0_mlp/up/kernel", 1), ("block0_mlp/up/bias", 0),
    ("block0_mlp/down/kernel", 0), ("block0_mlp/down/bias", None), ("block0_norm1/gamma", None),
])  # fmt: skip
def test_each_device_holds_its_part_of_weight_and_momentum(results, model, path, axis):
    momentum = f"sgd/{path.replace('/', '_')}_momentum"
    for name in (path, momentum):
        whole, shard = results[f"{model}/8/weight {name}"].shape, results[f"{model}/8/shard {name}"]
        expected = [size // 4 if i == axis else size for i, size in enumerate(whole)]
        assert shard.tolist() == expected, name
        assert results[f"{model}/8/devices {name}"] == 8
        assert results[f"{model}/1/devices {name}"] == 1


@pytest.mark.extras
def test_model_built_before_the_distribution_is_noticed(results):
    message = str(results["complaints/built before"])
    assert "decoder is not sharded by its layout; set the distribution before the model is built" in message
    assert "block0_mlp/up/kernel (16, 64) should be split as (None, 'model'), not SingleDevice" in message
    assert len(message.splitlines()) == 1 + 6, "four kernels and two biases"


@pytest.mark.extras
def test_key_that_matches_nothing_is_noticed(results):
    message = str(results["complaints/misspelled"])
    assert "'up/kernel' matches no variable (a key must match the whole path, as in '.*up/kernel')" in message
    assert len(message.splitlines()) == 2


@pytest.mark.extras
def test_mesh_of_another_size_says_how_to_rehearse(results):
    message = str(results["complaints/devices"])
    assert "A mesh of 3 x 4 needs 12 devices, but JAX has 8." in message
    assert "XLA_FLAGS=--xla_force_host_platform_device_count=12" in message


@pytest.mark.parametrize("call", [lambda: model_parallel(2, 4), lambda: transformer_layout(None),
                                  lambda: check_sharding(None, None)])  # fmt: skip
def test_tensorflow_backend_is_refused_with_what_to_use(call):
    with pytest.raises(ValueError, match=r"silently ignores keras.distribution.*tensor_parallel.*KERAS_BACKEND=jax"):
        call()
