"""Local response normalization: large activations damp those of neighboring channels, as neurons inhibit each other.

Source: Krizhevsky et al. 2012, section 3.3, whose constants are the defaults.  Later networks use batch normalization.
"""

from keras import ops


def local_response_normalization(x, *, size=5, bias=2.0, alpha=1e-4, beta=0.75):
    """y_c = x_c / (bias + alpha * (sum of x_d^2 over the `size` channels d around c)) ** beta.  (B, H, W, C) -> same.

    PyTorch divides alpha by the size; the paper does not.

    Raises:
        ValueError: an even size.
    """
    if size % 2 == 0:
        raise ValueError(f"local response normalization needs an odd size, symmetric around a channel, not {size}.")
    half, channels = size // 2, x.shape[-1]
    squares = ops.pad(ops.square(x), ((0, 0), (0, 0), (0, 0), (half, half)))  # (B, H, W, C + size - 1)
    total = sum(squares[..., i : i + channels] for i in range(size))
    return x / (bias + alpha * total) ** beta
