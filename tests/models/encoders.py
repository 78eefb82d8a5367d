"""The contract of models that read text in both directions; each model's own test runs it."""

import keras
import numpy as np

from tests.models.decoders import TOKENS
from tests.models.language_models import check_loss_falls, check_mixed_precision, check_save_and_load, moved

PADDED = np.array([[5, 7, 9, 3, 2], [5, 7, 9, 0, 0]])


def check_encoder(key, padding, tmp_path, *, train=False):
    tokens = np.where(PADDED == 0, padding, PADDED)
    check_padding_changes_nothing(key, tokens)
    check_shapes_of_heads(key, tokens)
    model = moved(key, head="classifier", num_classes=3)
    check_save_and_load(model, TOKENS, tmp_path)
    check_mixed_precision(key, TOKENS, head="masked_lm")
    if train:  # one of each kind: every training graph takes seconds to build
        check_loss_falls(model, TOKENS, np.array([0, 1, 2]), rate=3e-3, epochs=15)


def check_padding_changes_nothing(key, tokens):
    model, shorter = moved(key), tokens[1:, :3]
    whole, alone = model(tokens), model(shorter)
    np.testing.assert_allclose(whole["sequence"][1:, :3], alone["sequence"], atol=1e-5)
    np.testing.assert_allclose(whole["pooled"][1:], alone["pooled"], atol=1e-5)
    assert np.abs(whole["pooled"][0] - whole["pooled"][1]).max() > 1e-3  # what is no padding is seen


def check_shapes_of_heads(key, tokens):
    shapes = {"masked_lm": (2, 5, 61), "span": (2, 5, 2), "embedding": (2, 24)}
    for head, shape in shapes.items():
        output = moved(key, head=head)(tokens)
        assert output.shape == shape and keras.backend.standardize_dtype(output.dtype) == "float32"
    for head, shape in {"classifier": (2, 3), "tagger": (2, 5, 3)}.items():
        assert moved(key, head=head, num_classes=3)(tokens).shape == shape
    vectors = np.array(moved(key, head="embedding")(tokens))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
