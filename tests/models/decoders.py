"""The contract of language models that write one token after another; each model's own test runs it."""

import numpy as np

from tests.models.language_models import check_loss_falls, check_mixed_precision, check_save_and_load, moved

TOKENS = np.random.default_rng(0).integers(1, 61, (3, 9))


def check_decoder(key, tmp_path, *, train=False):
    model = moved(key)
    check_token_never_sees_the_future(model)
    check_cache_gives_the_same(model)
    check_padding_on_the_left_changes_nothing(model)
    check_save_and_load(model, TOKENS, tmp_path)
    check_mixed_precision(key, TOKENS)
    if train:  # one of each kind: every training graph takes seconds to build
        check_loss_falls(model, TOKENS[:, :-1], TOKENS[:, 1:])


def check_token_never_sees_the_future(model):
    changed = TOKENS.copy()
    changed[:, 6] = TOKENS[:, 6] % 60 + 1
    difference = np.abs(model(TOKENS) - model(changed)).max(axis=(0, 2))
    assert np.all(difference[:6] == 0) and np.all(difference[6:] > 0)


def check_cache_gives_the_same(model):
    whole, cache = model(TOKENS), model.empty_cache(3, 12)
    logits, cache = model.extend(TOKENS[:, :4], cache, 0)
    np.testing.assert_allclose(logits, whole[:, :4], atol=1e-5)
    for i in range(4, 9):
        logits, cache = model.extend(TOKENS[:, i : i + 1], cache, i)
        np.testing.assert_allclose(logits[:, 0], whole[:, i], atol=1e-5)


def check_padding_on_the_left_changes_nothing(model):
    padded = np.concatenate([np.zeros((3, 2), "int64"), TOKENS[:, :5]], axis=1)
    padded[1] = TOKENS[1, :7]  # this row is full
    logits, cache = model.extend(padded, model.empty_cache(3, 12), 0, np.array([2, 0, 2]))
    whole = model(TOKENS)
    np.testing.assert_allclose(logits[0, 2:], whole[0, :5], atol=1e-5)
    np.testing.assert_allclose(logits[1], whole[1, :7], atol=1e-5)
    more = np.stack([TOKENS[0, 5:6], TOKENS[1, 7:8], TOKENS[2, 5:6]])
    logits, _ = model.extend(more, cache, 7, np.array([2, 0, 2]))
    np.testing.assert_allclose(logits[0, 0], whole[0, 5], atol=1e-5)
    np.testing.assert_allclose(logits[1, 0], whole[1, 7], atol=1e-5)
