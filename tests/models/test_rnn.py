"""Recurrent networks: known counts, what each head answers, who sees what, padding, and that they learn."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.harness import check_gradients_reach_every_weight, check_multiply_adds, check_padding, inputs_of, outline
from tfdl.core.outline import multiply_adds, parameters
from tfdl.models.recurrent.rnn import VARIANTS, RecurrentConfig, rnn
from tfdl.train.step import exact

NANO = VARIANTS["nano"]
COUNTS = {
    # Zaremba et al. 2014, whose networks are known as those of 4.65, 19.8 and 66 million weights.
    "lstm_small": 4_651_600,
    "lstm_medium": 19_775_200,
    "lstm_large": 66_022_000,
    # keras.io's example has 2,757,761 with one logit; ours has two, hence 129 more.
    "bidirectional_classifier": 2_757_761 + 129,
}


@pytest.mark.parametrize("variant", COUNTS)
def test_parameter_count_is_the_known_one(variant):
    assert parameters(outline(rnn, variant)) == COUNTS[variant]


def test_networks_for_characters_are_alike_in_size():
    sizes = [parameters(outline(rnn, name)) for name in VARIANTS if name.endswith("_characters")]
    assert len(sizes) == 3 and max(sizes) < 1.08 * min(sizes)


def tiny(length=None, num_classes=3, **changes):
    """The smallest network, with changes."""
    keras.utils.set_random_seed(0)
    return rnn(replace(NANO, **changes), length=length, num_classes=num_classes)


HEADS = {
    "language_model": {},
    "classifier": {"head": "classifier"},
    "both ways": {"head": "classifier", "bidirectional": True, "depth": 2},
    "tagger": {"head": "tagger", "bidirectional": True, "cell": "gru"},
}
SHAPES = {"language_model": (None, 6, 11), "classifier": (None, 3), "both ways": (None, 3), "tagger": (None, 6, 3)}


@pytest.mark.parametrize("name", HEADS)
def test_head_gives_its_logits_whatever_the_padding(name):
    model = tiny(length=6, **HEADS[name])
    assert model.output_shape == SHAPES[name]
    check_padding(tiny(**HEADS[name]))


@pytest.mark.parametrize("name", HEADS)
def test_gradients_reach_every_weight(name):
    check_gradients_reach_every_weight(tiny(**HEADS[name]), (4,))


@pytest.mark.parametrize("head, width", [("language_model", 10), ("classifier", 10), ("tagger", 10)])
def test_without_classes_it_gives_its_states(head, width):
    features = tiny(length=6, num_classes=None, head=head)
    assert features.output_shape == ((None, width) if head == "classifier" else (None, 6, width))
    both = tiny(length=6, num_classes=None, head="classifier", bidirectional=True)
    assert both.output_shape == (None, 2 * width)


def test_language_model_never_sees_the_future():
    model = tiny(depth=2)
    texts = inputs_of(model, 2, (6,))
    changed = texts.copy()
    changed[:, 4:] = texts[:, 4:] % 10 + 1
    before, after = np.array(model(texts)), np.array(model(changed))
    np.testing.assert_array_equal(before[:, :4], after[:, :4])
    assert np.abs(before[:, 4:] - after[:, 4:]).min(axis=-1).max() > 0


def test_tagger_sees_the_whole_text_in_both_directions_and_half_of_it_in_one():
    for both, sees in ((True, True), (False, False)):
        model = tiny(head="tagger", bidirectional=both)
        texts = inputs_of(model, 2, (6,))
        changed = texts.copy()
        changed[:, 5] = texts[:, 5] % 10 + 1
        moved = np.abs(np.array(model(texts)) - np.array(model(changed)))[:, 0].max()
        assert (moved > 1e-6) == sees


def test_classifier_reads_the_ends_of_the_text():
    options = dict(length=6, bidirectional=True, num_classes=None)
    texts = inputs_of(tiny(), 2, (6,))
    texts[1, 4:] = 0  # two of padding
    ends, states = (np.array(tiny(head=head, **options)(texts)) for head in ("classifier", "tagger"))
    for i, last in enumerate((5, 3)):
        np.testing.assert_allclose(ends[i], [*states[i, last, :10], *states[i, 0, 10:]], atol=1e-6)


def test_every_product_is_counted():
    check_multiply_adds(rnn(NANO, length=5, unroll=True), (5,))
    both = replace(NANO, bidirectional=True, head="classifier", cell="gru")
    check_multiply_adds(rnn(both, length=5, unroll=True), (5,))
    assert multiply_adds(rnn(NANO, length=5)) == 5 * (4 * 10 * (6 + 10) + 10 * 11)


def test_unrolled_network_has_the_same_weights_and_answers():
    rolled, unrolled = tiny(length=5, depth=2), rnn(replace(NANO, depth=2), length=5, unroll=True, num_classes=3)
    unrolled.set_weights(rolled.get_weights())
    texts = inputs_of(rolled, 2, (5,))
    np.testing.assert_allclose(unrolled(texts), rolled(texts), atol=1e-6)


def test_dropout_is_between_layers_and_in_training_only():
    model = tiny(length=6, depth=2, dropout=0.5)
    assert [layer.name for layer in model.layers if "dropout" in layer.name] == ["dropout0", "dropout1", "dropout"]
    texts = inputs_of(model, 2, (6,))
    np.testing.assert_array_equal(model(texts), model(texts))
    assert np.abs(np.array(model(texts, training=True)) - np.array(model(texts))).max() > 1e-3


def test_vocabulary_can_be_another():
    assert rnn("nano", vocabulary_size=17, length=4).output_shape == (None, 4, 17)


def test_language_model_learns_what_comes_two_tokens_later():
    """A text is a pair of tokens again and again, so that the next token is always the one before the last."""
    model = tiny(cell="gru", units=16)
    pairs = np.random.default_rng(0).permuted(np.tile(np.arange(1, 11), (24, 1)), axis=1)[:, :2]
    texts = np.tile(pairs, 4).astype("int32")
    texts[::2, 6:] = 0  # of different lengths
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    model.compile(keras.optimizers.Adam(0.03), loss, jit_compile=False)
    exact(model)
    data = tf.data.Dataset.from_tensors((texts[:, :-1], texts[:, 1:]))
    history = model.fit(data, epochs=60, verbose=0, shuffle=False).history["loss"]
    # Only the second token cannot be known, log 9 nats at least; it is one of 5 or 7.
    assert history[-1] < 0.6 < 2.0 < history[0]


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(ValueError, match="no head 'taggr'; choose one of language_model, classifier, tagger"):
        replace(NANO, head="taggr")
    with pytest.raises(ValueError, match="bidirectional language model would see the tokens that it predicts"):
        replace(NANO, bidirectional=True)
    with pytest.raises(ValueError, match="no recurrent cell 'ltsm'; choose one of rnn, lstm"):
        replace(NANO, cell="ltsm")
    with pytest.raises(ValueError, match="must be at least 1, not 0, 3, 4 and 1"):
        RecurrentConfig(vocabulary_size=0, embedding=3, units=4)
    with pytest.raises(ValueError, match="unroll=True needs a fixed length"):
        rnn("nano", unroll=True)


@pytest.mark.parametrize("padding", [0, 3])
def test_padding_is_the_token_that_the_config_says(padding):
    network = rnn(replace(NANO, head="classifier", cell="gru"), padding=padding, num_classes=3)
    tokens = np.array([[5, 2, 7]], "int32")
    padded = np.pad(tokens, [(0, 0), (2, 1)], constant_values=padding)
    np.testing.assert_allclose(network(tokens), network(padded), atol=1e-6)
    assert np.abs(network(tokens) - network(np.pad(tokens, [(0, 0), (0, 1)], constant_values=6))).max() > 1e-4


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_states_remember_the_tokens_before(cell):
    model = tiny(cell=cell, depth=2)
    tokens = np.random.default_rng(0).integers(1, 11, (3, 7))
    whole = model(tokens)
    logits, states = model.extend(tokens[:, :4], model.empty_cache(3, 7), 0)
    np.testing.assert_allclose(logits, whole[:, :4], atol=1e-6)
    for i in range(4, 7):
        logits, states = model.extend(tokens[:, i : i + 1], states, i)
        np.testing.assert_allclose(logits[:, 0], whole[:, i], atol=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
def test_language_model_writes_texts(compiled, tmp_path):
    model, prompts = tiny(), [[5, 9, 2], [7], [3, 3, 8, 1, 4]]
    model.save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    answer = model.generate(prompts, new_tokens=5, compiled=compiled)
    for prompt, tokens, values in zip(prompts, answer.tokens, answer.log_probabilities):
        logits = tf.nn.log_softmax(model(np.array([[*prompt, *tokens[:-1]]]))[0, len(prompt) - 1 :])
        assert tokens.tolist() == logits.numpy().argmax(-1).tolist()
        np.testing.assert_allclose(values, logits.numpy().max(-1), atol=1e-5)
    assert not hasattr(tiny(head="classifier"), "generate") and not hasattr(tiny(num_classes=None), "generate")
