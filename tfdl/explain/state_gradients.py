"""How a recurrent layer's gradient shrinks or grows on its way back through the steps.

Papers: Hochreiter 1991, Untersuchungen zu dynamischen neuronalen Netzen; Bengio et al. 1994, IEEE Trans. Neural
Networks 5(2); Pascanu et al. 2013, arXiv:1211.5063, section 2.1.
Shapes: B batch, T steps, D width of the input, U units, S states of the cell, g its gates.

Each step back multiplies the gradient by the transposed Jacobian of the state with respect to the state before.  In a
vanilla network this is U^T diag(tanh'), whose norm is at most the largest singular value of U: below 1 the gradient
vanishes exponentially, however large it was (Pascanu et al., eq. 5 to 7).
"""

import keras
import numpy as np
import tensorflow as tf
from keras import ops


def gradient_norms(layer, x, loss):
    """Norms of the loss's gradient with respect to the state k steps before the last, for k = 0 ... T - 1.

    Args:
        layer: a built `Recurrent`; of an LSTM the state is h and c together.
        x: its input (B, T, D).
        loss: the outputs of the last step (B, U) -> one loss per sequence (B).

    Returns:
        (T,) float64: the norm over all units, averaged over the sequences.
    """
    x = ops.convert_to_tensor(x)
    cell = layer.scan.cell
    scan = keras.layers.RNN(ShiftedCell(cell))
    shifts = tf.zeros((*x.shape[:2], len(cell.state_size) * layer.units))  # (B, T, S U)
    with tf.GradientTape() as tape:
        tape.watch(shifts)
        total = tf.reduce_sum(loss(scan(tf.concat([layer.project(x), shifts], axis=-1))))
    gradients = np.asarray(tape.gradient(total, shifts), "float64")  # squares below 1e-38 are 0 in float32
    return np.linalg.norm(gradients, axis=-1).mean(axis=0)[::-1]


def decay_per_step(norms):
    """The factor by which the norm changes with each step back, as the geometric mean over all steps.  (T,) -> float"""
    return float((norms[-1] / norms[0]) ** (1 / (len(norms) - 1)))


def decay_bound(layer):
    """The largest factor of one step back in a vanilla layer: the largest singular value of U.  A built `Recurrent`."""
    return float(np.linalg.norm(ops.convert_to_numpy(layer.scan.cell.recurrent.kernel), 2))


class ShiftedCell(keras.layers.Layer):
    """A cell that adds the last part of its input to its new states: the gradient of a shift is that of its state.

    Args:
        cell: a built `Cell`; the input is W x + b (B, g U), followed by the shifts (B, S U).
    """

    def __init__(self, cell):
        super().__init__()
        self.cell = cell
        self.state_size = cell.state_size
        self.output_size = cell.output_size

    def build(self, shape):
        pass

    def call(self, x, states):
        x, *shifts = tf.split(x, [-1, *self.state_size], axis=-1)
        _, states = self.cell(x, states)
        states = [state + shift for state, shift in zip(states, shifts)]
        return states[0], states
