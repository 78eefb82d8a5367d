"""LoRA: nothing changes at the beginning, only adapters learn, merging is exact, and adapters live in files."""

import json

import keras
import numpy as np
import pytest
import safetensors.numpy

from tfdl.core.saved import load_model
from tfdl.export.exporter import export_model
from tfdl.learners.transfer.lora import LoRA
from tfdl.losses.tokens import TokenCrossEntropy
from tfdl.models.text.bert import bert
from tfdl.models.text.gpt import GPT, gpt
from tfdl.models.text.llama import llama
from tfdl.models.text.t5 import t5
from tfdl.train import checkpoints
from tfdl.train.step import exact

RNG = np.random.default_rng(0)
TOKENS = RNG.integers(1, 20, (6, 7)).astype("int32")
TARGETS = RNG.integers(1, 20, (6, 7)).astype("int32")
INPUTS = {
    gpt: TOKENS,
    llama: TOKENS,
    bert: {"tokens": TOKENS, "segments": np.zeros_like(TOKENS)},
    t5: {"source": TOKENS, "target_in": TOKENS},
}


def outputs(model, inputs):
    """Logits, or what BERT gives without a head."""
    found = model(inputs)
    return np.array(found["sequence"] if isinstance(found, dict) else found)


def shaken(learner):
    """Adapters that change something."""
    for b in learner.up:
        b.assign(RNG.normal(size=b.shape) * 0.3)
    return learner


@pytest.fixture(scope="module")
def trained():
    """(learner after some updates, its network's weights before)."""
    keras.utils.set_random_seed(0)
    network = gpt("nano")
    before = [w.copy() for w in network.get_weights()]
    learner = LoRA(network, targets="query|value|up", rank=4, alpha=8)
    learner.compile(keras.optimizers.Adam(0.01), TokenCrossEntropy())
    exact(learner)
    learner.losses_seen = learner.fit(TOKENS, TARGETS, epochs=4, batch_size=3, verbose=0).history["loss"]
    return learner, before


@pytest.mark.parametrize("builder", INPUTS)
def test_targets_of_every_kind_of_network_get_adapters_that_change_nothing_yet(builder):
    keras.utils.set_random_seed(0)
    network = builder("nano")
    expected = outputs(network, INPUTS[builder])
    learner = LoRA(network, targets="query|value", rank=2)
    np.testing.assert_array_equal(outputs(learner, INPUTS[builder]), expected)
    assert len(learner.trainable_variables) == 2 * len(learner.kernels) and len(learner.kernels) >= 4
    shaken(learner)
    changed = outputs(learner, INPUTS[builder])
    assert np.abs(changed - expected).max() > 1e-3
    np.testing.assert_allclose(outputs(learner.merge(), INPUTS[builder]), changed, atol=1e-5)


def test_only_adapters_learn(trained):
    learner, before = trained
    assert learner.losses_seen[-1] < learner.losses_seen[0]
    for weight, old in zip(learner.network.get_weights(), before):
        np.testing.assert_array_equal(weight, old)
    assert all(np.abs(b).max() > 0 for _, b in learner.adapters().values())


def test_merging_gives_what_adapters_gave_and_unmerging_every_bit_back(trained):
    learner, before = trained
    expected = np.array(learner(TOKENS))
    network = learner.merge()
    np.testing.assert_allclose(network(TOKENS), expected, atol=1e-5)
    np.testing.assert_array_equal(learner(TOKENS), network(TOKENS))
    learner.unmerge()
    for weight, old in zip(network.get_weights(), before):
        np.testing.assert_array_equal(weight, old)
    np.testing.assert_array_equal(learner(TOKENS), expected)


def test_update_is_the_product_of_both_matrices_as_in_keras(trained):
    learner, _ = trained
    (path, kernel), (a, b) = next(iter(learner.kernels.items())), next(iter(learner.adapters().values()))
    dense = keras.layers.Dense(kernel.shape[1], use_bias=False)
    dense.build((None, kernel.shape[0]))
    dense.kernel.assign(kernel)
    dense.enable_lora(4, lora_alpha=8)
    dense.lora_kernel_a.assign(a)
    dense.lora_kernel_b.assign(b)
    np.testing.assert_allclose(dense.kernel, dict((k.path, v) for k, v in learner.adapted())[path], atol=1e-6)


def test_adapters_go_through_a_file(trained, tmp_path):
    learner, _ = trained
    learner.save_adapters(tmp_path / "adapters.safetensors")
    other = LoRA(gpt("nano"), targets="query|value|up", rank=4, alpha=8)
    other.network.set_weights(learner.network.get_weights())
    other.load_adapters(tmp_path / "adapters.safetensors")
    np.testing.assert_array_equal(other(TOKENS), learner(TOKENS))
    smaller = LoRA(gpt("nano"), targets="query", rank=2)
    with pytest.raises(ValueError, match=r"targets='query\|value\|up', rank=4, alpha=8; make LoRA with these"):
        smaller.load_adapters(tmp_path / "adapters.safetensors")
    (tmp_path / "other").write_bytes(safetensors.numpy.save({"a": np.zeros(2)}))
    with pytest.raises(ValueError, match="other has no adapters; LoRA.save_adapters writes"):
        smaller.load_adapters(tmp_path / "other")
    (tmp_path / "damaged").write_bytes(b"abc")
    with pytest.raises(ValueError, match="has no adapters, or is damaged"):
        smaller.load_adapters(tmp_path / "damaged")


def test_learner_comes_back_from_its_file_with_base_and_adapters_apart(trained, tmp_path):
    learner, before = trained
    learner.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(TOKENS), learner(TOKENS))
    for weight, old in zip(again.network.get_weights(), before):
        np.testing.assert_array_equal(weight, old)
    written = [model.generate([[5, 6]], new_tokens=3, compiled=False).tokens[0] for model in (learner, again)]
    np.testing.assert_array_equal(*written)


def test_checkpoint_holds_adapters(trained):
    learner, _ = trained
    assert {name for name in checkpoints.state(learner) if name.startswith("model/")} == {
        f"model/{i:05d}" for i in range(len(learner.variables))
    }
    assert {id(v) for v in (*learner.down, *learner.up)} <= {id(v) for v in learner.variables}


def test_dropout_draws_anew_in_each_step():
    config = gpt("nano").get_config()
    config["config"]["config"]["dropout"] = 0.5
    network = GPT.from_config(config)
    network.build((None, 32))
    learner = LoRA(network, rank=2)
    first, second = (np.array(learner(TOKENS, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 1e-3


@pytest.mark.slow
def test_merged_network_is_exported(trained, tmp_path):
    learner, _ = trained
    expected = np.array(learner(TOKENS[:1]))
    report = export_model(learner.merge(), tmp_path / "export", formats=("savedmodel",))
    learner.unmerge()
    assert json.dumps(report)
    np.testing.assert_allclose(learner(TOKENS[:1]), expected, atol=1e-6)


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(ValueError, match="No kernel of gpt matches targets='keys'; its kernels are gpt/"):
        LoRA(gpt("nano"), targets="keys")
    with pytest.raises(ValueError, match="rank is 0; give 1 to 24"):
        LoRA(gpt("nano"), rank=0)
