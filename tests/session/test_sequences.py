"""A tagger of sentences of different lengths: padding counts nowhere, and a run that is broken off goes on exactly."""

import dataclasses
import types
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.core.batches import PADDING
from tfdl.data.order import Order
from tfdl.models.recurrent.rnn import VARIANTS, rnn
from tfdl.session.run import Run
from tfdl.train.step import exact

COUNT, LONGEST, TAGS = 60, 9, 3
TAGGER = replace(VARIANTS["nano"], head="tagger", cell="rnn", dropout=0.2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    run: Run = Run()


class Broken(Exception):
    """What the crash raises."""


def sentences():
    """Tokens (N, T), 0 where padded; each is tagged by the remainder of its number, PADDING where padded."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, LONGEST + 1, COUNT)
    tokens = rng.integers(1, 11, (COUNT, LONGEST)) * (np.arange(LONGEST) < lengths[:, None])
    return tokens.astype("int32"), np.where(tokens > 0, tokens % TAGS, PADDING).astype("int32"), lengths


def bucketed(position):
    """Batches of sentences of similar lengths, cut to the longest of each."""
    tokens, tags, lengths = sentences()
    order = Order.start(seed=0, batch_size=4, count=COUNT, position=position, lengths=lengths)

    def batch(rows, _):
        longest = tf.reduce_max(tf.gather(tf.constant(lengths), rows))
        return tf.gather(tf.constant(tokens), rows)[:, :longest], tf.gather(tf.constant(tags), rows)[:, :longest]

    train = order.keys().map(batch)
    validation = tf.data.Dataset.from_tensors((tokens, tags))
    return types.SimpleNamespace(
        name="tags", train=train, validation=validation, counts={"train": COUNT}, position=order.position
    )


def tagger(accumulate=None):
    keras.utils.set_random_seed(0)
    dropout = 0.0 if accumulate else TAGGER.dropout  # its masks would depend on how the batch is split
    model = rnn(replace(TAGGER, dropout=dropout), num_classes=TAGS)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=PADDING)
    model.compile(keras.optimizers.SGD(0.5, momentum=0.9), loss, jit_compile=False)
    return exact(model, accumulate=accumulate) if accumulate else model


def trained(folder, break_at=None, resume=False):
    """Weights after two epochs, and the shapes of the batches; an exception breaks off after `break_at` updates."""
    config = Config(run=Run(out=str(folder), resume=resume))
    run = config.run.start(config, name="tags")
    model = tagger()

    def count(batch, logs):
        if break_at is not None and int(model.optimizer.iterations) == break_at:
            raise Broken

    watch = keras.callbacks.LambdaCallback(on_train_batch_end=count)
    run.fit(model, bucketed(run.position), epochs=2, callbacks=[watch], save_every=0.0)
    run.finish(model, {"done": 1.0})
    return run.weights_sha256


def test_run_that_is_broken_off_in_mid_epoch_goes_on_with_the_same_batches(tmp_path):
    whole = trained(tmp_path / "whole")
    with pytest.raises(Broken):
        trained(tmp_path / "broken", break_at=COUNT // 4 + 6)
    assert trained(tmp_path / "broken", resume=True) == whole


def test_batches_are_of_similar_lengths_and_hold_every_sentence_once():
    tokens, _, lengths = sentences()
    batches = list(bucketed(None).train.as_numpy_iterator())
    longest = [x.shape[1] for x, _ in batches]
    assert len(set(longest)) > 3 and sum(longest) * 4 < 1.2 * lengths.sum(), "hardly any padding"
    padded = [np.pad(x, ((0, 0), (0, LONGEST - x.shape[1]))) for x, _ in batches]
    assert sorted(map(tuple, np.concatenate(padded))) == sorted(map(tuple, tokens))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_loss_and_update_are_those_of_the_tokens_whatever_the_padding(accumulate):
    tokens, tags, lengths = sentences()
    order = np.argsort(lengths)[[0, 1, -2, -1]]  # so that halves of the batch have different numbers of tokens
    x, y = tokens[order], tags[order]
    model, wider = tagger(accumulate), tagger(accumulate)
    logits = np.array(model(x), "float64")
    likelihoods = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = -np.log(np.take_along_axis(likelihoods, np.maximum(y, 0)[..., None], -1)[..., 0][y >= 0]).mean()
    loss = model.fit(x, y, batch_size=4, verbose=0, shuffle=False).history["loss"][0]
    assert loss == pytest.approx(expected, rel=1e-5)
    more = np.pad(x, ((0, 0), (2, 3))), np.pad(y, ((0, 0), (2, 3)), constant_values=PADDING)
    wider.fit(*more, batch_size=4, verbose=0, shuffle=False)
    for one, other in zip(model.get_weights(), wider.get_weights()):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert model.gradient_norm > 0.01
