"""Linear forecasters: each future step is a weighted sum of the steps before, with the same weights in every column.

Paper: Zeng et al. 2022, arXiv:2205.13504, section 4 and Fig. 2 ("LTSF-Linear").
Shapes: B batch, T steps read, H steps predicted, D columns.
"""

import keras
from keras import layers, ops

from tfdl.core.config import choose_variant, config


@config
class LinearForecasterConfig:
    """One linear layer over time, or two where the trend is split off."""

    relative: bool = False  # subtracts each column's last step, and adds it to the prediction: NLinear
    trend_window: int = 0  # steps that the moving average of the trend is over, odd; 0 splits nothing off: DLinear

    def __post_init__(self):
        if self.trend_window < 0 or (self.trend_window and self.trend_window % 2 == 0):
            raise ValueError(f"trend_window is {self.trend_window}; give an odd number, or 0 for no trend.")


VARIANTS = {
    "nano": LinearForecasterConfig(relative=True, trend_window=3),  # ours, for tests: both ideas at once
    "linear": LinearForecasterConfig(),
    "nlinear": LinearForecasterConfig(relative=True),
    "dlinear": LinearForecasterConfig(trend_window=25),  # the paper's kernel, appendix
}


def linear_forecaster(variant="nlinear", *, input_shape=(336, 7), output_shape=(96, 7), name="linear_forecaster"):
    """Numbers (B, T, D) -> the H steps that follow, (B, H, D).

    Args:
        variant: a row of VARIANTS or a LinearForecasterConfig.
        input_shape: (T, D).
        output_shape: (H, D).

    Raises:
        ValueError: an unknown variant, or shapes that do not fit.
    """
    c = choose_variant(variant, VARIANTS, model="linear_forecaster")
    if len(input_shape) != 2 or len(output_shape) != 2 or input_shape[1] != output_shape[1] or None in input_shape:
        raise ValueError(
            f"input_shape is {input_shape} and output_shape is {output_shape}; give (steps to read, columns) and (steps"
            " to predict, columns), with the same number of columns."
        )
    numbers = x = keras.Input(input_shape, name="numbers")
    last = x[:, -1:]  # (B, 1, D)
    x = x - last if c.relative else x
    if c.trend_window:
        trend = moving_average(x, c.trend_window)
        parts = [over_time(trend, output_shape[0], "trend"), over_time(x - trend, output_shape[0], "remainder")]
        x = layers.Add(dtype="float32", name="sum")(parts)
    else:
        x = over_time(x, output_shape[0], "steps")
    if c.relative:
        x = layers.Add(dtype="float32", name="from_last_step")([x, last])
    return keras.Model(numbers, x, name=name)


def over_time(x, horizon, name):
    """A linear layer along the steps: (B, T, D) -> (B, H, D).

    Its loss is convex, so that it may start at zero: random weights would leave their noise on steps that say little.
    """
    x = layers.Permute((2, 1), name=f"{name}_columns")(x)  # (B, D, T)
    x = layers.Dense(horizon, kernel_initializer="zeros", dtype="float32", name=name)(x)  # (B, D, H)
    return layers.Permute((2, 1), dtype="float32", name=f"{name}_predictions")(x)


def moving_average(x, window):
    """The mean of the `window` steps around each; beyond the ends the first and the last step repeat.  (B, T, D)"""
    half = window // 2
    ends = [ops.repeat(x[:, :1], half, axis=1), x, ops.repeat(x[:, -1:], half, axis=1)]
    return layers.AveragePooling1D(window, strides=1, name="trend_average")(ops.concatenate(ends, axis=1))
