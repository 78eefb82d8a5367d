"""Attention of a decoder to the states of an encoder: which words of the source matter for the next word.

Papers: Bahdanau et al. 2014, arXiv:1409.0473, section 3.1 and appendix A.1.2; Luong et al. 2015, arXiv:1508.04025,
section 3.1, eq. 7 and 8.
Shapes: B batch, S steps of the source, T of the target, M width of the source's states, U units of the decoder, A width
of the additive score, D width of the decoder's input.
"""

from keras import layers, ops

from tfdl.core.serial import serializable
from tfdl.layers.attention import MASKED
from tfdl.layers.recurrent import CELLS, check_cell


def read(memory, scores, mask=None):
    """Weighted means of the memory: (B, S, M), scores (B, T, S) -> contexts (B, T, M), weights (B, T, S) float32.

    `mask` is bool (B, S), false where padded: there the weights are 0.  A source of nothing but padding is read
    evenly, and its states are zero.
    """
    scores = ops.cast(scores, "float32")
    if mask is not None:
        scores = ops.where(mask[:, None], scores, MASKED)
    weights = ops.softmax(scores)
    return ops.matmul(ops.cast(weights, memory.dtype), memory), weights


@serializable
class AdditiveScore(layers.Layer):
    """score(s, h) = v^T tanh(W s + U h + b), appendix A.1.2.  Queries (B, T, U), keys (B, S, A) -> (B, T, S).

    Args:
        width: A.
    """

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.width = width

    def build(self, queries_shape, memory_shape):
        options = dict(use_bias=False, dtype=self.dtype_policy)
        self.query = layers.Dense(self.width, name="query", **options)
        self.key = layers.Dense(self.width, name="key", dtype=self.dtype_policy)
        self.vector = layers.Dense(1, name="vector", **options)
        self.query.build(queries_shape)
        self.key.build(memory_shape)
        self.vector.build((None, self.width))

    def keys(self, memory):
        """U h + b for each state of the source, computed once: (B, S, M) -> (B, S, A)."""
        return self.key(memory)

    def call(self, queries, keys):
        inner = ops.tanh(self.query(queries)[:, :, None] + keys[:, None])  # (B, T, S, A)
        return self.vector(inner)[..., 0]


@serializable
class ProductScore(layers.Layer):
    """score(s, h) = s^T W h, "general" in eq. 8.  Queries (B, T, U), keys (B, S, U) -> (B, T, S)."""

    def build(self, queries_shape, memory_shape):
        self.key = layers.Dense(queries_shape[-1], use_bias=False, dtype=self.dtype_policy, name="key")
        self.key.build(memory_shape)

    def keys(self, memory):
        """W h for each state of the source, computed once: (B, S, M) -> (B, S, U)."""
        return self.key(memory)

    def call(self, queries, keys):
        return ops.matmul(queries, ops.swapaxes(keys, 1, 2))


@serializable
class AttendingRecurrent(layers.Layer):
    """Bahdanau's decoder: each step looks at the source before it moves, c = context(s), s' = cell([x; c], s).

    Inputs x (B, T, D) and memory (B, S, M) -> outputs (B, T, U), contexts (B, T, M), weights (B, T, S) and the last
    states, each (B, U).

    Args:
        units: U.
        cell: a key of CELLS.
        width: A of the additive score.

    Call:
        memory_mask: bool (B, S), false where the source is padded.
        states: where to start; zeros by default.

    Raises:
        ValueError: unknown cell.
    """

    def __init__(self, units, cell="gru", width=None, **kwargs):
        super().__init__(**kwargs)
        check_cell(cell)
        self.units = units
        self.cell = cell
        self.width = units if width is None else width

    def build(self, x_shape, memory_shape, **_):
        self.step = CELLS[self.cell](self.units, dtype=self.dtype_policy, name="cell")
        gates = self.step.gates * self.units
        # W [x; c] + b in two parts: that of x, which the target fixes, is made for all steps at once.
        bias = self.step.bias_initializer()
        self.project = layers.Dense(gates, bias_initializer=bias, dtype=self.dtype_policy, name="project")
        self.look = layers.Dense(gates, use_bias=False, dtype=self.dtype_policy, name="look")
        self.score = AdditiveScore(self.width, dtype=self.dtype_policy, name="score")
        self.step.build((None, gates))
        self.project.build(x_shape)
        self.look.build(memory_shape)
        self.score.build((None, None, self.units), memory_shape)

    def call(self, x, memory, memory_mask=None, states=None):
        keys = self.score.keys(memory)
        batch, length = ops.shape(memory)[:2]
        if states is None:
            states = (ops.zeros((batch, self.units), self.compute_dtype),) * self.step.states
        nothing = ops.zeros((batch, memory.shape[-1]), memory.dtype), ops.zeros((batch, length), "float32")

        def step(before, x):
            states = before[2:]
            context, weights = read(memory, self.score(states[0][:, None], keys), memory_mask)  # (B, 1, M), (B, 1, S)
            _, states = self.step(x + self.look(context[:, 0]), states)
            now = context[:, 0], weights[:, 0], *states
            return now, now

        steps = ops.swapaxes(self.project(x), 0, 1)  # (T, B, g U)
        (_, _, *last), (contexts, weights, outputs, *_) = ops.scan(step, (*nothing, *states), steps)
        contexts, weights, outputs = (ops.swapaxes(y, 0, 1) for y in (contexts, weights, outputs))
        return outputs, contexts, weights, tuple(last)
