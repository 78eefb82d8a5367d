"""A recurrent network that reads numbers and predicts numbers from its last state: sums, or the steps that follow.

Papers: Hochreiter & Schmidhuber 1997, Neural Computation 9(8), section 5.4 (a sum after the last step); Zeng et al.
2022, arXiv:2205.13504, section 4 (differences from the last step).
Shapes: B batch, T steps read, D numbers at each step, U units, (..., O) what is predicted.
"""

import math

import keras
from keras import layers

from tfdl.core.config import choose_variant, config
from tfdl.layers.recurrent import Recurrent, check_cell


@config
class RecurrentRegressorConfig:
    """`depth` recurrent layers, and a linear layer from the last state."""

    units: int  # U of each layer
    cell: str = "lstm"  # key of CELLS
    depth: int = 1
    relative: bool = False  # reads and predicts differences from the last step, which a drift does not change

    def __post_init__(self):
        check_cell(self.cell)
        if min(self.units, self.depth) < 1:
            raise ValueError(f"units and depth must be at least 1, not {self.units} and {self.depth}.")


VARIANTS = {
    "nano": RecurrentRegressorConfig(units=10),  # ours, for tests
    # Ours, for the adding problem: 17,000 weights each, in one layer.
    "vanilla": RecurrentRegressorConfig(units=128, cell="rnn"),
    "lstm": RecurrentRegressorConfig(units=64),
    "gru": RecurrentRegressorConfig(units=73, cell="gru"),
    "lstm_forecaster": RecurrentRegressorConfig(units=64, relative=True),  # ours
}


def recurrent_regressor(
    variant="lstm", *, input_shape=(100, 2), output_shape=(1,), unroll=False, name="recurrent_regressor"
):
    """Numbers (B, T, D) -> predictions (B, *output_shape).

    Args:
        variant: a row of VARIANTS or a RecurrentRegressorConfig.
        input_shape: (T, D); T may be None for any.  Phones need it fixed.
        output_shape: of one prediction: (O,), or (O, D) for O further steps.
        unroll: a graph without a loop, for int8 files; T must be fixed.

    Raises:
        ValueError: an unknown variant, or an argument out of range.
    """
    c = choose_variant(variant, VARIANTS, model="recurrent_regressor")
    if len(input_shape) != 2 or (unroll and input_shape[0] is None):
        raise ValueError(f"input_shape is {input_shape}; give (steps, numbers at each step), with unroll=True fixed.")
    if c.relative and (len(output_shape) != 2 or output_shape[-1] != input_shape[-1]):
        raise ValueError(
            f"output_shape is {output_shape}; a relative network predicts (steps, {input_shape[-1]}), the numbers that"
            " it reads."
        )
    numbers = x = keras.Input(input_shape, name="numbers")
    last = x[:, -1:]  # (B, 1, D)
    x = x - last if c.relative else x
    for i in range(c.depth):
        x, (state, *_) = Recurrent(c.units, c.cell, unroll=unroll, name=f"layer{i}")(x)  # (B, T, U) and (B, U)
    x = layers.Dense(math.prod(output_shape), dtype="float32", name="head")(state)
    x = layers.Reshape(output_shape, dtype="float32", name="predictions")(x)
    if c.relative:
        x = layers.Add(dtype="float32", name="from_last_step")([x, last])
    return keras.Model(numbers, x, name=name)
