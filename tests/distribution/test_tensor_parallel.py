"""Layers in parts on several devices compute, differentiate and train as one."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests import forked
from tfdl.distribution.tensor_parallel import join_columns, split_columns


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """ "case/name" -> array; all cases run in one process of their own, which has four logical CPU devices."""
    path = tmp_path_factory.mktemp("tensor_parallel") / "results.npz"
    done = forked.python(Path(__file__).with_name("split_models.py"), "tensor_parallel", path, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(np.load(path))


BLOCKS = {
    "attention": 4, "attention, causal, no bias": 2, "attention, a mask each head": 4, "mlp": 4, "mlp, one device": 4,
    "dense pair": 4,
}  # fmt: skip


@pytest.mark.parametrize("case, weights", BLOCKS.items())
def test_output_and_gradients_equal_the_unsplit_layer(results, case, weights):
    names = ["y", "dx", *[f"dw{i}" for i in range(weights)]]
    for name in names:
        whole = results[f"{case}/{name}"]
        np.testing.assert_allclose(results[f"{case}/split {name}"], whole, rtol=0, atol=1e-5, err_msg=name)
    assert f"{case}/dw{weights}" not in results


@pytest.mark.parametrize("case, weights", BLOCKS.items())
def test_merging_undoes_splitting(results, case, weights):
    assert [float(results[f"{case}/w{i}"]) for i in range(weights)] == [0.0] * weights


def test_model_trains_as_the_unsplit_one(results):
    names = [key.removeprefix("fit/whole ") for key in results if key.startswith("fit/whole ")]
    assert len(names) > 30
    losses = results["fit/whole log loss"]
    assert losses[-1] < losses[0]
    for name in names:
        whole, split = results[f"fit/whole {name}"], results[f"fit/split {name}"]
        np.testing.assert_allclose(split, whole, rtol=0, atol=1e-5, err_msg=name)


def test_one_exchange_forward_and_one_backward(results):
    """Of what CPU:1 computes, others read its part of the output and its part of the input's gradient."""
    assert results["traffic/sent"] == 2
    assert results["traffic/multiplying"].tolist() == ["CPU:0", "CPU:1"]


def test_memory_is_shared_by_the_devices(results):
    def of(case, key):
        return [int(results[f"memory/{case} CPU:{i} {key}"]) for i in range(2)]

    whole, split = of("whole", "parameters"), of("split", "parameters")
    matrices = 2 * (4 * 32 * 32 + 2 * 32 * 64) * 4  # of two blocks, float32
    biases = 2 * (3 * 32 + 64) * 4  # of queries, keys, values and of the first layer of the feed-forward network
    assert whole[1] == 0 and sum(split) == whole[0]
    assert split[1] == (matrices + biases) // 2
    assert of("split", "optimizer")[1] == split[1], "momenta lie with their weights"
    assert of("split", "activations")[0] < of("whole", "activations")[0]
    assert 0 < of("split", "activations")[1] < of("split", "activations")[0]


def test_frozen_layer_stays_frozen(results):
    assert results["frozen/trainable"] == 0


REFUSED = {
    "heads": "3 devices do not divide the 4 heads of self_attention.*use one of 1, 2, 4.",
    "units": "3 devices do not divide the 10 units between its dense layers of .*use one of 1, 2, 5, 10.",
    "softmax": "mixes units",
    "regularizer": "AdamW",
    "dropout": "dropout 0.1 .* dropout=0",
    "unbuilt": "new has no weights to split yet",
    "kind": "LayerNormalization can't be split",
    "nothing": "plain has no SelfAttention and no FeedForward",
    "device": "There is no device 'CPU:7'; TensorFlow sees CPU:0, CPU:1, CPU:2, CPU:3.*split_cpu",
    "twice": "each once, not CPU:0, CPU:0",
}


@pytest.mark.parametrize("case, message", REFUSED.items())
def test_refusal_names_value_and_remedy(results, case, message):
    assert re.search(message, str(results[f"refused/{case}"]))


def test_columns_are_cut_within_each_group():
    weight = np.arange(12).reshape(1, 12)  # three groups of four columns
    first, second = split_columns(weight, 3, 2)
    assert first.tolist() == [[0, 1, 4, 5, 8, 9]]
    assert second.tolist() == [[2, 3, 6, 7, 10, 11]]
    assert join_columns([first, second], 3).tolist() == weight.tolist()
