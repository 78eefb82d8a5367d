import numpy as np

from tfdl.ops.activations import hard_sigmoid, hard_swish

X = np.linspace(-8, 8, 4001).astype("float32")


def test_hard_sigmoid_is_a_clipped_line():
    np.testing.assert_allclose(hard_sigmoid(X), np.clip(X.astype("float64") / 6 + 0.5, 0, 1), atol=1e-6)


def test_hard_swish_is_the_papers_formula():
    x = X.astype("float64")
    np.testing.assert_allclose(hard_swish(X), x * np.clip(x + 3, 0, 6) / 6, atol=1e-6)
