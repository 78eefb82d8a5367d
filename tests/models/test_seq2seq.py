"""Sequence to sequence: known counts, who sees what, padding on both sides, saving, and learning."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.harness import outline
from tfdl.core.outline import parameters
from tfdl.inference.translation import greedy
from tfdl.models.recurrent.seq2seq import ATTENTION, VARIANTS, Seq2SeqConfig, seq2seq
from tfdl.train.step import exact

NANO = VARIANTS["nano"]
COUNTS = {  # of bentrevett's notebooks 1, 2 and 3; PyTorch's LSTM has a second bias: 4 U more in each of four layers
    "multi30k_lstm": 13_898_501 - 4 * 4 * 512,
    "multi30k_gru": 14_219_781,
    "multi30k_bahdanau": 20_518_405,
    "g2p_en": 834_890,  # the numbers in g2p-en's file
}


@pytest.mark.parametrize("variant", COUNTS)
def test_parameter_count_is_the_known_one(variant):
    assert parameters(outline(seq2seq, variant)) == COUNTS[variant]


KINDS = {
    "none": dict(attention="none", bidirectional=False, cell="lstm", depth=2),
    "last": dict(attention="last"),
    "bahdanau": dict(attention="bahdanau"),
    "luong": dict(attention="luong", cell="lstm", depth=2),
}


def tiny(kind="bahdanau", **changes):
    """The smallest network with one kind of attention, every weight off its start."""
    model = seq2seq(replace(NANO, **{**KINDS[kind], **changes}))
    rng = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(weight + rng.normal(0, 0.3, weight.shape))
    return model


def batch(count=3, source=5, target=4, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "source": rng.integers(1, 9, (count, source), "int32"),
        "target_in": rng.integers(1, 11, (count, target), "int32"),
    }


def test_every_kind_of_attention_is_tested():
    assert tuple(KINDS) == ATTENTION


@pytest.mark.parametrize("kind", KINDS)
def test_logits_depend_on_no_padding_and_on_no_neighbor(kind):
    model, inputs = tiny(kind), batch()
    logits = np.array(model(inputs))
    assert logits.shape == (3, 4, 11) and logits.dtype == "float32"
    for before, after in ((0, 2), (2, 0), (1, 1)):
        padded = {
            "source": np.pad(inputs["source"], ((0, 0), (before, after))),
            "target_in": np.pad(inputs["target_in"], ((0, 0), (0, after))),
        }
        np.testing.assert_allclose(np.array(model(padded))[:, :4], logits, atol=1e-5)
    alone = model({name: tokens[1:2] for name, tokens in inputs.items()})
    np.testing.assert_allclose(alone, logits[1:2], atol=1e-5)
    nothing = model({"source": np.zeros((2, 3), "int32"), "target_in": np.ones((2, 1), "int32")})
    assert np.isfinite(nothing).all()


@pytest.mark.parametrize("kind", KINDS)
def test_token_never_sees_the_future_and_sees_the_whole_source(kind):
    model, inputs = tiny(kind), batch()
    later = {**inputs, "target_in": inputs["target_in"].copy()}
    later["target_in"][:, 2:] = inputs["target_in"][:, 2:] % 10 + 1
    before, after = np.array(model(inputs)), np.array(model(later))
    np.testing.assert_array_equal(before[:, :2], after[:, :2])
    assert np.abs(before[:, 2:] - after[:, 2:]).max() > 1e-3
    for place in (0, 4):
        other = {**inputs, "source": inputs["source"].copy()}
        other["source"][:, place] = inputs["source"][:, place] % 8 + 1
        assert np.abs(np.array(model(other)) - before)[:, 0].max() > 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_token_by_token_is_decoding_at_once(kind):
    model, inputs = tiny(kind), batch()
    memory, mask, states = model.encode(inputs["source"])
    whole, last, looks = model.decode(inputs["target_in"], memory, mask, states)
    for t in range(4):
        logits, states, weights = model.decode(inputs["target_in"][:, t : t + 1], memory, mask, states)
        np.testing.assert_allclose(logits[:, 0], whole[:, t], atol=1e-5)
        if looks is not None:
            np.testing.assert_allclose(weights[:, 0], looks[:, t], atol=1e-5)
    for ours, theirs in zip(states, last, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("kind", ["bahdanau", "luong"])
def test_weights_are_distributions_over_real_tokens(kind):
    model, inputs = tiny(kind), batch()
    inputs["source"][1, 3:] = 0
    weights = np.array(model.attention_map(inputs))
    assert weights.shape == (3, 4, 5)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    assert (weights[1, :, 3:] == 0).all() and (weights[1, :, :3] > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_model_survives_a_file_and_gradients_reach_every_weight(kind, tmp_path):
    model, inputs = tiny(kind), batch()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(inputs), model(inputs), atol=1e-6)
    assert loaded.count_params() == model.count_params()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(inputs, training=True) ** 2)
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None, f"no gradient reaches {variable.path}"
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, f"no gradient reaches {variable.path}"


@pytest.mark.parametrize("kind", ["bahdanau", "luong"])
def test_texts_are_turned_round_after_some_training(kind):
    """Attention finds the mirror image of each place, which no alignment by position could."""
    keras.utils.set_random_seed(0)
    model = seq2seq(replace(NANO, embedding=12, units=24, **{**KINDS[kind], "cell": "gru", "depth": 1}))
    source = np.random.default_rng(0).integers(3, 9, (64, 4), "int32")
    target = np.concatenate([np.full((64, 1), 1), source[:, ::-1], np.full((64, 1), 2)], axis=1).astype("int32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    model.compile(keras.optimizers.Adam(0.02), loss, jit_compile=False)
    exact(model)
    data = tf.data.Dataset.from_tensors(({"source": source, "target_in": target[:, :-1]}, target[:, 1:]))
    model.fit(data, epochs=100, verbose=0, shuffle=False)
    texts = greedy(model, start=1, end=2, length=6)(source).numpy()
    assert (texts[:, :4] == source[:, ::-1]).mean() > 0.9


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(ValueError, match="no attention 'loung'; choose one of none, last, bahdanau, luong"):
        replace(NANO, attention="loung")
    with pytest.raises(ValueError, match="Bahdanau's decoder has one layer, not 2; use depth=1"):
        replace(NANO, depth=2)
    with pytest.raises(ValueError, match="no recurrent cell 'lst'"):
        Seq2SeqConfig(source_vocabulary=9, target_vocabulary=9, embedding=3, units=3, cell="lst")
    with pytest.raises(ValueError, match="attention='last' looks nowhere; use 'bahdanau' or 'luong'"):
        tiny("last").attention_map(batch())
