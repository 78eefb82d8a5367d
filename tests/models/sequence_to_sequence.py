"""The contract of models that turn one text into another; each model's own test runs it."""

import numpy as np

from tests.models.language_models import check_loss_falls, check_mixed_precision, check_save_and_load, moved

RNG = np.random.default_rng(0)
SOURCE, TARGET = RNG.integers(2, 61, (3, 9)), RNG.integers(2, 61, (3, 7))


def logits(model, source=SOURCE, target=TARGET):
    return np.array(model({"source": source, "target_in": target}))


def check_sequence_to_sequence(key, tmp_path, *, train=False):
    model = moved(key)
    check_order_of_sight(model)
    check_padding_is_not_seen(model)
    check_cache_gives_the_same(model)
    check_attention_map(model)
    inputs = {"source": SOURCE, "target_in": TARGET[:, :-1]}
    check_save_and_load(model, inputs, tmp_path)
    check_mixed_precision(key, inputs)
    if train:  # one of each kind: every training graph takes seconds to build
        check_loss_falls(model, inputs, TARGET[:, 1:], epochs=15, below=0.6)


def check_order_of_sight(model):
    """A token of the target sees none after it, and all of the source."""
    target, source = TARGET.copy(), SOURCE.copy()
    target[:, 4] = TARGET[:, 4] % 58 + 3
    difference = np.abs(logits(model) - logits(model, target=target)).max(axis=(0, 2))
    assert np.all(difference[:4] == 0) and np.all(difference[4:] > 0)
    source[:, 8] = SOURCE[:, 8] % 58 + 3
    assert np.all(np.abs(logits(model) - logits(model, source=source)).max(axis=(0, 2)) > 0)


def check_padding_is_not_seen(model):
    padded = np.concatenate([SOURCE, np.full((3, 4), model.config.padding)], axis=1)
    np.testing.assert_allclose(logits(model, source=padded), logits(model), atol=1e-5)


def check_cache_gives_the_same(model):
    whole, cache = logits(model), model.start(SOURCE, 10)
    first, cache = model.extend(TARGET[:, :3], cache, 0)
    np.testing.assert_allclose(first, whole[:, :3], atol=1e-5)
    for i in range(3, 7):
        step, cache = model.extend(TARGET[:, i : i + 1], cache, i)
        np.testing.assert_allclose(step[:, 0], whole[:, i], atol=1e-5)


def check_attention_map(model):
    """Each token of the target has weights over the source: none on padding, none that depend on later tokens."""
    source = np.concatenate([SOURCE, np.full((3, 4), model.config.padding)], axis=1)
    whole = np.array(model.attention_map({"source": source, "target_in": TARGET}))
    assert whole.shape == (3, 7, 13) and np.all(whole[..., :9] > 0)
    np.testing.assert_allclose(whole[..., :9].sum(-1), 1, atol=1e-5)
    first = np.array(model.attention_map({"source": SOURCE, "target_in": TARGET[:, :3]}))
    np.testing.assert_allclose(first, whole[:, :3, :9], atol=1e-5)
