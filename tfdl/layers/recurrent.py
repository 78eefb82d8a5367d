"""Recurrent layers: the equations of one step, and a layer that applies them from the first step to the last.

Papers: Elman 1990, Cognitive Science 14(2); Hochreiter & Schmidhuber 1997, Neural Computation 9(8), with the forget
gate of Gers et al. 2000, Neural Computation 12(10); Cho et al. 2014, arXiv:1406.1078, eq. 5-8; both directions:
Schuster & Paliwal 1997, IEEE Trans. Signal Processing 45.
Shapes: B batch, T steps, D width of the input, U units, g gates of a cell: 1, 4 or 3.

W x + b does not depend on the state, so one matrix product computes it for all steps; only U h has to wait for the
previous step.  Gates are in PyTorch's order.
"""

import keras
from keras import layers, ops

from tfdl.core.serial import serializable


class Cell(layers.Layer):
    """One step: W x + b (B, g U) and the states, each (B, U) -> the first of the new states, and all of them.

    Subclasses say how many gates and states they have, and give the equations.

    Args:
        units: U.

    Attributes:
        recurrent: the dense layer that computes U h for all gates, once built.
    """

    gates = states = 1
    recurrent_bias = False

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = [units] * self.states  # what keras.layers.RNN asks for
        self.output_size = units

    def build(self, shape):
        self.recurrent = self.recurrent_dense(self.gates, "recurrent")

    def recurrent_dense(self, gates, name):
        """The dense layer (B, U) -> (B, gates U); orthogonal, which keeps the state's length over many steps."""
        options = dict(use_bias=self.recurrent_bias, kernel_initializer="orthogonal", dtype=self.dtype_policy)
        dense = layers.Dense(gates * self.units, name=name, **options)
        dense.build((None, self.units))
        return dense

    def bias_initializer(self):
        """The initializer of b: zeros."""
        return keras.initializers.Zeros()

    def call(self, x, states):
        states = self.step(x, *states)
        return states[0], list(states)


@serializable
class ElmanCell(Cell):
    """h' = tanh(W x + U h + b): the vanilla recurrent network."""

    def step(self, x, h):
        return (ops.tanh(x + self.recurrent(h)),)


@serializable
class LSTMCell(Cell):
    """Long short-term memory: a memory c that changes by addition, and gates that decide what changes.

    i, f, o = sigmoid(W x + U h + b)        input, forget and output gate
    g       = tanh(W x + U h + b)           what could be written
    c'      = f c + i g
    h'      = o tanh(c')

    Columns are in the order i, f, g, o, as in Keras and PyTorch.
    """

    gates, states = 4, 2

    def bias_initializer(self):
        """Forget gates start open, at a bias of 1 (Jozefowicz et al. 2015, ICML, section 2.2)."""
        return forget_gates_open

    def step(self, x, h, c):
        i, f, g, o = ops.split(x + self.recurrent(h), 4, axis=-1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        return ops.sigmoid(o) * ops.tanh(c), c


@serializable
class GRUCell(Cell):
    """Gated recurrent unit, as PyTorch, cuDNN and Keras (`reset_after=True`) compute it.

    r  = sigmoid(W x + U h + b)             reset gate
    z  = sigmoid(W x + U h + b)             update gate
    n  = tanh(W x + b + r (U h + b'))       candidate: the reset gate comes after the product with U
    h' = z h + (1 - z) n

    Columns are in the order r, z, n; Keras has z, r, n.
    """

    gates = 3
    recurrent_bias = True

    def step(self, x, h):
        xr, xz, xn = ops.split(x, 3, axis=-1)
        hr, hz, hn = ops.split(self.recurrent(h), 3, axis=-1)
        n = ops.tanh(xn + ops.sigmoid(xr + hr) * hn)
        return (mix(ops.sigmoid(xz + hz), h, n),)


@serializable
class OriginalGRUCell(Cell):
    """The GRU of the paper, eq. 5-8: n = tanh(W x + b + U (r h)), the reset gate before the product with U.

    Keras calls it `reset_after=False`.  It needs a second product, one after the other, in each step.
    """

    gates = 3

    def build(self, shape):
        self.recurrent = self.recurrent_dense(2, "recurrent")  # r and z
        self.candidate = self.recurrent_dense(1, "candidate")

    def step(self, x, h):
        xr, xz, xn = ops.split(x, 3, axis=-1)
        hr, hz = ops.split(self.recurrent(h), 2, axis=-1)
        n = ops.tanh(xn + self.candidate(ops.sigmoid(xr + hr) * h))
        return (mix(ops.sigmoid(xz + hz), h, n),)


CELLS = {"rnn": ElmanCell, "lstm": LSTMCell, "gru": GRUCell, "gru_original": OriginalGRUCell}


def mix(share, kept, new):
    """share * kept + (1 - share) * new, computed with one product instead of two."""
    return new + share * (kept - new)


@serializable
def forget_gates_open(shape, dtype=None):
    """Biases of i, f, g, o: 1 for f, 0 for the others."""
    units = shape[0] // 4
    return ops.concatenate([ops.zeros(units, dtype), ops.ones(units, dtype), ops.zeros(2 * units, dtype)])


def check_cell(cell):
    """Raises ValueError unless it is a key of CELLS."""
    if cell not in CELLS:
        raise ValueError(f"There is no recurrent cell {cell!r}; choose one of {', '.join(CELLS)}.")


class Scan(layers.RNN):
    """Keras's loop over the steps.  It passes no mask on to later layers and the loss, which would use it unasked."""

    def compute_mask(self, x, mask):
        return None


@serializable
class Recurrent(layers.Layer):
    """Reads a sequence step by step.  (B, T, D) -> outputs (B, T, U), and the states after the last step, each (B, U).

    Args:
        units: U.
        cell: a key of CELLS.
        backwards: read from the last step to the first; outputs stay in the order of the input.
        unroll: a graph without a loop, for int8 files; T must be fixed.

    Call:
        mask: bool (B, T), false where padded, anywhere in the sequence.  There the states stay as they are, so that
            the last state is that of the last real step, and the output of a padded step is that of the step read
            before it.  A sequence of nothing but padding ends in the states with which it began.
        states: where to start, as returned; zeros by default.

    Raises:
        ValueError: unknown cell, or units below 1.
    """

    def __init__(self, units, cell="lstm", backwards=False, unroll=False, **kwargs):
        super().__init__(**kwargs)
        check_cell(cell)
        if units < 1:
            raise ValueError(f"units must be at least 1, not {units}.")
        self.supports_masking = True
        self.units = units
        self.cell = cell
        self.backwards = backwards
        self.unroll = unroll

    def build(self, shape, **_):
        cell = CELLS[self.cell](self.units, dtype=self.dtype_policy, name="cell")
        width = cell.gates * self.units
        options = dict(bias_initializer=cell.bias_initializer(), dtype=self.dtype_policy)
        self.project = layers.Dense(width, name="project", **options)
        self.project.build(shape)
        options = dict(go_backwards=self.backwards, unroll=self.unroll, dtype=self.dtype_policy)
        self.scan = Scan(cell, return_sequences=True, return_state=True, name="scan", **options)
        self.scan.build((*shape[:-1], width))

    def call(self, x, mask=None, states=None):
        outputs, *states = self.scan(self.project(x), initial_state=states, mask=mask)
        return ops.flip(outputs, 1) if self.backwards else outputs, tuple(states)

    def step(self, x, states):
        """One step without a loop: (B, D) and the states -> the output (B, U), and the new states."""
        output, states = self.scan.cell(self.project(x), list(states))
        return output, tuple(states)

    def compute_output_shape(self, shape, **_):
        return (*shape[:-1], self.units), ((shape[0], self.units),) * CELLS[self.cell].states

    def compute_mask(self, x, mask):
        return None  # see `Scan`

    def multiply_adds(self, shape):
        """Of one sequence (T, D): g U (D + U) a step."""
        _, steps, width = shape
        return steps * CELLS[self.cell].gates * self.units * (width + self.units)


def bidirectional(x, units, cell="lstm", *, mask=None, unroll=False, name):
    """Two layers that read in opposite directions, side by side.  (B, T, D) -> (B, T, 2 U), and states of both.

    The states are a pair: those of the forward layer, after the last step, and of the backward layer, after the first.
    """
    options = dict(cell=cell, unroll=unroll)
    forward, last = Recurrent(units, name=f"{name}_forward", **options)(x, mask=mask)
    backward, first = Recurrent(units, backwards=True, name=f"{name}_backward", **options)(x, mask=mask)
    return layers.Concatenate(name=f"{name}_concatenate")([forward, backward]), (last, first)
