"""Residual connection: a layer learns what to add to its input instead of a replacement for it.

Paper: He et al. 2015, arXiv:1512.03385, section 3.1, eq. 1.
"""

from keras import layers

from tfdl.core.serial import serializable


@serializable
class Residual(layers.Wrapper):
    """y = x + F(x), eq. 1, for any layer F that keeps the shape.  (B, ...) -> same.

    The gradient of x is the gradient of y plus the gradient through F, so it does not vanish with depth.  Where the
    shape changes, x needs a projection (eq. 2), which the model must add.

    Raises:
        ValueError: F(x) does not have the shape of x.
    """

    def call(self, x):
        y = self.layer(x)
        if tuple(y.shape) != tuple(x.shape):
            raise ValueError(
                f"Residual adds x and F(x), whose shapes differ: {tuple(x.shape)} and {tuple(y.shape)}."
                f" Make {self.layer.name!r} keep the shape, or project x first."
            )
        return x + y
