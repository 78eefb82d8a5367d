"""Attention of a decoder equals Keras's and the papers' equations in NumPy; padding is never looked at."""

import keras
import numpy as np
import pytest

from tests.layers.test_recurrent import sigmoid
from tfdl.layers.recurrent import CELLS
from tfdl.layers.sequence_attention import AdditiveScore, AttendingRecurrent, ProductScore, read

MASK = np.array([[1, 1, 1, 1, 0], [0, 0, 1, 1, 1]], bool)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def randomize(layer):
    for i, w in enumerate(layer.weights):
        w.assign(0.5 * random(*w.shape, seed=10 + i))
    return layer


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def test_additive_score_is_that_of_the_appendix():
    queries, memory = random(2, 3, 4), random(2, 5, 6, seed=1)
    layer = AdditiveScore(7)
    layer.build(queries.shape, memory.shape)
    randomize(layer)
    w, u, b, v = (np.array(x) for x in (layer.query.kernel, *layer.key.weights, layer.vector.kernel))
    expected = np.tanh((queries @ w)[:, :, None] + (memory @ u + b)[:, None]) @ v
    np.testing.assert_allclose(layer(queries, layer.keys(memory)), expected[..., 0], atol=1e-5)


def test_additive_attention_is_keras_s():
    queries, memory = random(2, 3, 4), random(2, 5, 4, seed=1)
    layer, theirs = AdditiveScore(4), keras.layers.AdditiveAttention()
    layer.build(queries.shape, memory.shape)
    expected, weights = theirs([queries, memory], mask=[None, MASK], return_attention_scores=True)
    layer.set_weights([np.eye(4), np.eye(4), np.zeros(4), np.array(theirs.scale)[:, None]])
    contexts, ours = read(memory, layer(queries, layer.keys(memory)), MASK)
    np.testing.assert_allclose(contexts, expected, atol=1e-5)
    np.testing.assert_allclose(ours, weights, atol=1e-5)


def test_product_score_is_equation_8_and_keras_s():
    queries, memory = random(2, 3, 4), random(2, 5, 6, seed=1)
    layer = ProductScore()
    layer.build(queries.shape, memory.shape)
    randomize(layer)
    scores = layer(queries, layer.keys(memory))
    np.testing.assert_allclose(scores, np.einsum("btu,mu,bsm->bts", queries, layer.key.kernel, memory), atol=1e-5)
    expected = keras.layers.Attention()([queries, memory, layer.keys(memory)], mask=[None, MASK])
    np.testing.assert_allclose(read(memory, scores, MASK)[0], expected, atol=1e-5)


def test_padding_is_not_read_and_a_source_of_padding_is_read_evenly():
    memory, scores = random(2, 5, 3), random(2, 4, 5, seed=1)
    mask = MASK.copy()
    mask[1] = False
    contexts, weights = (np.array(x) for x in read(memory, scores, mask))
    assert (weights[0, :, 4] == 0).all() and (weights[0, :, :4] > 0).all()
    np.testing.assert_allclose(weights[1], 0.2, atol=1e-6)
    np.testing.assert_allclose(contexts[1], np.tile(memory[1].mean(0), (4, 1)), atol=1e-5)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_attending_layer_is_one_step_after_another(cell):
    x, memory = random(2, 3, 4), random(2, 5, 6, seed=1)
    layer = AttendingRecurrent(7, cell, width=8)
    layer.build(x.shape, memory.shape)
    randomize(layer)
    states = [np.zeros((2, 7), "float32")] * CELLS[cell].states
    outputs, contexts, weights, last = layer(x, memory, memory_mask=MASK)
    keys = layer.score.keys(memory)
    for t in range(3):
        scores = np.array(layer.score(states[0][:, None], keys))[:, 0]
        look = softmax(np.where(MASK, scores, -np.inf))
        context = np.einsum("bs,bsm->bm", look, memory)
        states = layer.step(layer.project(x[:, t]) + layer.look(context), states)[1]
        np.testing.assert_allclose(weights[:, t], look, atol=1e-5)
        np.testing.assert_allclose(contexts[:, t], context, atol=1e-5)
        np.testing.assert_allclose(outputs[:, t], states[0], atol=1e-5)
    for ours, theirs in zip(last, states, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_decoder_is_equation_of_the_appendix():
    """s' = (1 - z) s + z n there; the cell's z is the share that is kept, and its reset gate comes before U."""
    x, memory = random(1, 1, 4), random(1, 5, 6, seed=1)
    layer = AttendingRecurrent(3, "gru_original")
    layer.build(x.shape, memory.shape)
    randomize(layer)
    s = random(1, 3, seed=5)
    outputs, contexts, _, _ = layer(x, memory, states=(s,))
    a = x[:, 0] @ layer.project.kernel + layer.project.bias + contexts[:, 0] @ layer.look.kernel
    a, gates = np.array(a), np.array(s @ layer.step.recurrent.kernel)
    r, z = sigmoid(a[:, :3] + gates[:, :3]), sigmoid(a[:, 3:6] + gates[:, 3:])
    n = np.tanh(a[:, 6:] + (r * s) @ np.array(layer.step.candidate.kernel))
    np.testing.assert_allclose(outputs[:, 0], z * s + (1 - z) * n, atol=1e-5)
