import keras
import numpy as np

from tfdl.layers.squeeze_excite import squeeze_excite


def test_squeeze_excite_is_the_papers_equation():
    x = keras.Input((4, 5, 6))
    model = keras.Model(x, squeeze_excite(x, 3, name="se"))
    rng = np.random.default_rng(0)
    w1, b1, w2, b2 = weights = [rng.normal(size=w.shape) for w in model.weights]
    model.set_weights(weights)
    images = rng.normal(size=(2, 4, 5, 6)).astype("float32")

    pooled = images.mean(axis=(1, 2))  # eq. 2
    hidden = np.maximum(pooled @ w1[0, 0] + b1, 0)  # eq. 3
    gate = np.clip((hidden @ w2[0, 0] + b2 + 3) / 6, 0, 1)
    np.testing.assert_allclose(model(images), images * gate[:, None, None], atol=1e-5)  # eq. 4


def test_gate_sees_the_whole_image_but_not_other_images():
    x = keras.Input((3, 4, 8))
    model = keras.Model(x, squeeze_excite(x, 5, name="se"))
    images = np.random.default_rng(0).uniform(size=(2, 3, 4, 8)).astype("float32")
    changed = images.copy()
    changed[0, 0, 0] += 3.0
    before, after = model(images).numpy(), model(changed).numpy()
    assert np.abs(before - after)[0, 2, 3].max() > 0
    np.testing.assert_allclose(before[1], after[1], atol=1e-7)
