"""Residual connection: a layer learns what to add to its input, not what to put in its place.

Paper: He et al. 2015, arXiv:1512.03385, section 3.1, eq. 1.
"""

from keras import layers

from tfdl.core.serial import serializable


@serializable
class Residual(layers.Wrapper):
    """y = x + F(x), eq. 1, for any layer F that keeps the shape.  (B, ...) -> same.

    The gradient of x is the gradient of y plus what comes through F, so depth does not make it vanish.  A change of
    shape needs a projection of x (eq. 2), which is for the model to place.

    Raises:
        ValueError: F gives another shape than x has.
    """

    def call(self, x):
        y = self.layer(x)
        if tuple(y.shape) != tuple(x.shape):
            raise ValueError(
                f"Residual adds x and F(x), whose shapes differ: {tuple(x.shape)} and {tuple(y.shape)}."
                f" Let {self.layer.name!r} keep the shape, or project x first."
            )
        return x + y
