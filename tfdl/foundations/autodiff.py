"""Reverse-mode automatic differentiation: record every operation, then apply the chain rule from the last to the first.

    x = Tensor([1.0, 2.0], name="x")
    y = (x**3).sum()
    first = grad(y, x, create_graph=True)      # 3 x^2 = [3, 12]
    second = grad(first.sum(), x)              # 6 x   = [6, 12]

An operation computes its value and records, for each operand, the rule that turns the gradient of the result into the
gradient of the operand.  The rules use the same operations, so a gradient is itself a recorded computation and can be
differentiated any number of times: second derivatives are exact, not approximated.

Two pairs of operations are each other's gradient rule (adjoint linear maps) and handle all changes of shape:
`broadcast_to` and `sum_to`, indexing and `scatter`.  Convolution (convolution.py) adds a third, `im2col` and `col2im`.

Source: Griewank and Walther 2008, "Evaluating Derivatives", 2nd ed., section 3.2; Baydin et al. 2018, arXiv:1502.05767.
"""

# ruff: noqa: E731 (reflected operators and comparisons take one line each)
import itertools
from numbers import Real

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

BIRTHS = itertools.count()


class Tensor:
    """An array that records how it was computed.  Operators broadcast as NumPy's do; comparisons return boolean arrays.

    Attributes:
        value: the array, float32 or float64, not copied.
        parents: ((operand, rule), ...), where rule(gradient, result) is the operand's gradient; none for a leaf.
        name: of the operation, or of a leaf as the user named it.
        born: creation number; a result's is always larger than its operands'.

    Raises:
        ValueError: the values are not floats; in operators: shapes or dtypes of the operands do not fit.
    """

    __slots__ = ("value", "parents", "name", "born")
    __array_ufunc__ = None  # array * tensor calls tensor.__rmul__(array); NumPy would loop over the array's elements

    def __init__(self, value, parents=(), name="constant"):
        self.value = np.asarray(value)
        if self.value.dtype not in (np.float32, np.float64):
            raise ValueError(
                f"A Tensor holds float32 or float64, and these values of shape {self.value.shape} are"
                f" {self.value.dtype}: gradients need floats. Convert them with numpy.asarray(x, float)."
            )
        self.parents, self.name, self.born = parents, name, next(BIRTHS)

    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    dtype = property(lambda self: self.value.dtype)
    mT = property(lambda self: self.transpose(*range(self.ndim - 2), self.ndim - 1, self.ndim - 2))  # last two swapped

    def __repr__(self):
        return f"Tensor({np.array2string(self.value, precision=6, threshold=20)}, name={self.name!r})"

    # --- arithmetic: g is the gradient of the result, y the result -------------------------------------------------

    def __neg__(self):
        return Tensor(-self.value, ((self, lambda g, y: -g),), "negative")

    def __abs__(self):
        """At the kink 0 the derivative is 0, as in TensorFlow."""
        return Tensor(np.abs(self.value), ((self, lambda g, y: g * np.sign(self.value)),), "absolute")

    def __add__(self, other):
        a, b = align(self, other)
        return Tensor(a.value + b.value, ((a, lambda g, y: g), (b, lambda g, y: g)), "add")

    def __sub__(self, other):
        a, b = align(self, other)
        return Tensor(a.value - b.value, ((a, lambda g, y: g), (b, lambda g, y: -g)), "subtract")

    def __mul__(self, other):
        a, b = align(self, other)
        return Tensor(a.value * b.value, ((a, lambda g, y: g * b), (b, lambda g, y: g * a)), "multiply")

    def __truediv__(self, other):
        a, b = align(self, other)
        return Tensor(a.value / b.value, ((a, lambda g, y: g / b), (b, lambda g, y: -g * y / b)), "divide")

    def __pow__(self, other):
        if isinstance(other, Real):  # x**0 is a constant without parents: its rule would give 0 * x**-1 = NaN at 0
            parents = ((self, lambda g, y: g * (other * self ** (other - 1))),) if other != 0 else ()
            return Tensor(self.value ** float(other), parents, "power")
        a, b = align(self, other)
        # At a = 0 the rules would give 0 * a^-1 for b = 0 and 0 * log 0 for b >= 0, both NaN; the limits are 0.
        flat, silent = (a.value == 0) & (b.value == 0), (a.value == 0) & (b.value >= 0)
        rules = (
            (a, lambda g, y: g * b * a ** (where(flat, 1.0, b) - 1.0)),
            (b, lambda g, y: g * y * log(where(silent, 1.0, a))),
        )
        return Tensor(a.value**b.value, rules, "power")

    def __matmul__(self, other):
        """(..., N, K) @ (..., K, M) -> (..., N, M); batch axes broadcast; a vector is a row or a column."""
        a, b = self, as_tensor(other, self)
        if 0 in (a.ndim, b.ndim) or a.shape[-1] != b.shape[-min(b.ndim, 2)] or a.dtype != b.dtype:
            raise ValueError(
                f"Cannot multiply the matrices {a.shape} {a.dtype} @ {b.shape} {b.dtype}: the last axis of the first"
                " must equal the second-to-last of the second, and the dtypes must match."
            )
        if b.ndim == 1:
            y = a @ b.reshape(-1, 1)
            return y.reshape(y.shape[:-1])
        if a.ndim == 1:
            y = a.reshape(1, -1) @ b
            return y.reshape(y.shape[:-2] + y.shape[-1:])
        batch = common_shape(a.shape[:-2], b.shape[:-2])
        a, b = broadcast_to(a, batch + a.shape[-2:]), broadcast_to(b, batch + b.shape[-2:])
        return Tensor(a.value @ b.value, ((a, lambda g, y: g @ b.mT), (b, lambda g, y: a.mT @ g)), "matmul")

    __radd__, __rmul__ = __add__, __mul__
    __rsub__ = lambda self, other: as_tensor(other, self) - self
    __rtruediv__ = lambda self, other: as_tensor(other, self) / self
    __rpow__ = lambda self, other: as_tensor(other, self) ** self
    __rmatmul__ = lambda self, other: as_tensor(other, self) @ self
    __hash__ = object.__hash__  # of the node, not of its values: `grad` keeps nodes in sets
    __eq__ = lambda self, other: self.value == as_tensor(other, self).value
    __ne__ = lambda self, other: self.value != as_tensor(other, self).value
    __lt__ = lambda self, other: self.value < as_tensor(other, self).value
    __le__ = lambda self, other: self.value <= as_tensor(other, self).value
    __gt__ = lambda self, other: self.value > as_tensor(other, self).value
    __ge__ = lambda self, other: self.value >= as_tensor(other, self).value

    # --- shapes ----------------------------------------------------------------------------------------------------

    def reshape(self, *shape):
        """As numpy.reshape."""
        return Tensor(self.value.reshape(*shape), ((self, lambda g, y: g.reshape(self.shape)),), "reshape")

    def transpose(self, *axes):
        """As numpy.transpose: the axes in a new order, reversed if none is given."""
        axes = axes or tuple(reversed(range(self.ndim)))
        back = tuple(int(i) for i in np.argsort(np.arange(self.ndim)[list(axes)]))
        return Tensor(self.value.transpose(axes), ((self, lambda g, y: g.transpose(*back)),), "transpose")

    def __getitem__(self, index):
        """As NumPy's indexing, with integers, slices, None, masks or integer arrays (repeated indices add up)."""
        return Tensor(self.value[index], ((self, lambda g, y: scatter(g, index, self.shape)),), "index")

    # --- reductions over one axis, a tuple of axes, or all ---------------------------------------------------------

    def sum(self, axis=None, keepdims=False):
        """As numpy.sum."""
        kept, dropped = reduced_shapes(self.shape, axis)
        total = sum_to(self, kept)
        return total if keepdims else total.reshape(dropped)

    def mean(self, axis=None, keepdims=False):
        """As numpy.mean, but an empty tensor is an error."""
        if self.size == 0:
            raise ValueError(f"A tensor of shape {self.shape} has no elements, so it has no mean.")
        total = self.sum(axis, keepdims)
        return total * (total.size / self.size)

    def max(self, axis=None, keepdims=False):
        """As numpy.max.

        The maximum has a kink where k elements tie.  Each of them receives 1/k of the gradient, the mean of the k
        one-sided gradients: ties share the gradient equally, as in TensorFlow.
        """
        kept, dropped = reduced_shapes(self.shape, axis)
        top = self.value.max(axis, keepdims=True).reshape(kept)
        ties = (self.value == top).astype(self.dtype)  # constant: the maximum's second derivative is zero
        largest = Tensor(top, ((self, lambda g, y: g * (ties / sum_to(Tensor(ties), kept))),), "max")
        return largest if keepdims else largest.reshape(dropped)


# --- derivatives -----------------------------------------------------------------------------------------------------


def grad(output, inputs, *, seed=None, create_graph=False):
    """Gradient of `output` with respect to `inputs`, by one backward pass for all of them.

    Args:
        output: Tensor of any shape.
        inputs: a Tensor or a list of Tensors from which `output` was computed, leaves or results in between.
        seed: gradient of some final scalar with respect to `output`, of its shape (a vector-Jacobian product);
            1 by default if `output` has one element.
        create_graph: whether to record the computation of the gradients, so that they can be differentiated.

    Returns:
        a Tensor of the input's shape for each input; zeros where `output` does not depend on it.

    Raises:
        ValueError: the output has several elements and there is no seed, the seed has another shape, or something is
            not a Tensor.
    """
    if isinstance(inputs, Tensor):
        return grad(output, [inputs], seed=seed, create_graph=create_graph)[0]
    for x in (output, *inputs):
        if not isinstance(x, Tensor):
            raise ValueError(f"grad takes Tensors, not {type(x).__name__}: compute the output from Tensor(x).")
    if seed is None and output.size != 1:
        raise ValueError(
            f"The output has shape {output.shape}, so it has a Jacobian, not a gradient: reduce it to a scalar, for"
            f" example by output.sum(), or give a seed of shape {output.shape}."
        )
    seed = as_tensor(np.ones(output.shape, output.dtype) if seed is None else seed, output)
    if seed.shape != output.shape:
        raise ValueError(f"The seed has shape {seed.shape}, but the output has shape {output.shape}.")

    wanted, nodes = set(inputs), history(output)
    relevant = set(inputs)  # what depends on an input; the other branches need no gradient
    for node in nodes:
        if any(parent in relevant for parent, _ in node.parents):
            relevant.add(node)
    gradients = {output: seed}
    for node in reversed(nodes):  # results come before their operands, so a node's gradient is complete here
        if node not in gradients:
            continue
        gradient = gradients[node] if node in wanted else gradients.pop(node)
        gradient = gradient if create_graph else Tensor(gradient.value)
        for parent, rule in node.parents:
            if parent in relevant:
                part = rule(gradient, node)
                gradients[parent] = gradients[parent] + part if parent in gradients else part
    found = [gradients.get(x, Tensor(np.zeros_like(x.value))) for x in inputs]
    return found if create_graph else [Tensor(g.value) for g in found]


def history(output):
    """`output` and all tensors it was computed from, operands before results.  Not recursive, so depth has no limit."""
    seen, waiting = {output}, [output]
    while waiting:
        for parent, _ in waiting.pop().parents:
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return sorted(seen, key=lambda node: node.born)


def jacobian(function, x):
    """dy_i/dx_j of `function`, Tensor -> Tensor, at the array `x`.  -> array of shape y.shape + x.shape."""
    x = Tensor(x)
    return jacobian_rows(function(x), x)


def hessian(function, x):
    """d2y/dx_i dx_j of the scalar `function` at the array `x`, exactly.  -> array of shape x.shape + x.shape."""
    x = Tensor(x)
    return jacobian_rows(grad(function(x), x, create_graph=True), x)


def hvp(function, x, direction):
    """Hessian-vector product: the Hessian of the scalar `function` at `x` times `direction`, both arrays of one shape.

    It is the gradient of the directional derivative (Pearlmutter 1994): two backward passes, and no Hessian in memory.
    """
    x = Tensor(x)
    return grad(grad(function(x), x, create_graph=True), x, seed=direction).value  # H is symmetric: v H = H v


def jacobian_rows(output, x):
    """One backward pass for each element of `output`.  -> array of shape output.shape + x.shape."""
    seeds = np.eye(output.size, dtype=output.dtype).reshape(-1, *output.shape)
    return np.stack([grad(output, x, seed=seed).value for seed in seeds]).reshape(output.shape + x.shape)


def draw(output):
    """The recorded computation as text, a line for each tensor: number, name, shape, numbers of its operands."""
    nodes = history(output)
    number = {node: i for i, node in enumerate(nodes)}
    lines = []
    for node in nodes:
        operands = " ".join(f"%{number[parent]}" for parent, _ in node.parents)
        lines.append(f"%{number[node]:<3} {node.name:<10} {str(node.shape):<14} {operands}".rstrip())
    return "\n".join(lines)


# --- functions of one tensor -----------------------------------------------------------------------------------------


def exp(x):
    """e^x, elementwise."""
    return Tensor(np.exp(x.value), ((x, lambda g, y: g * y),), "exp")


def log(x):
    """Natural logarithm, elementwise."""
    return Tensor(np.log(x.value), ((x, lambda g, y: g / x),), "log")


def sin(x):
    """Sine of radians, elementwise."""
    return Tensor(np.sin(x.value), ((x, lambda g, y: g * cos(x)),), "sin")


def cos(x):
    """Cosine of radians, elementwise."""
    return Tensor(np.cos(x.value), ((x, lambda g, y: -g * sin(x)),), "cos")


def tanh(x):
    """Hyperbolic tangent, elementwise."""
    return Tensor(np.tanh(x.value), ((x, lambda g, y: g * (1 - y * y)),), "tanh")


def sigmoid(x):
    """1 / (1 + e^-x), elementwise, computed without overflow."""
    with np.errstate(invalid="ignore"):  # NaN gives NaN
        value = np.exp(-np.logaddexp(0, -x.value))
    return Tensor(value, ((x, lambda g, y: g * y * (1 - y)),), "sigmoid")


def relu(x):
    """max(x, 0), elementwise; at the kink x = 0 the derivative is 0, as in TensorFlow."""
    return where(x <= 0, 0, x)  # not x > 0, which would turn NaN into 0


def softmax(x, axis=-1):
    """e^x_i / sum_j e^x_j along `axis`."""
    powers = exp(x - Tensor(x.value.max(axis, keepdims=True)))  # a constant shift cancels and prevents overflow
    return powers / powers.sum(axis, keepdims=True)


def log_softmax(x, axis=-1):
    """Logarithm of `softmax`, finite where the softmax itself rounds to zero."""
    shifted = x - Tensor(x.value.max(axis, keepdims=True))
    return shifted - log(exp(shifted).sum(axis, keepdims=True))


def where(mask, a, b):
    """`a` where the boolean array `mask` is true, `b` elsewhere (one of the two may be a number); all broadcast."""
    a, b = align(a, b)
    shape = common_shape(np.shape(mask), a.shape)
    a, b = broadcast_to(a, shape), broadcast_to(b, shape)
    rules = (a, lambda g, y: where(mask, g, 0)), (b, lambda g, y: where(mask, 0, g))
    return Tensor(np.where(mask, a.value, b.value), rules, "where")


# --- shapes and dtypes --------------------------------------------------------------------------------------------


def broadcast_to(x, shape):
    """Repeats `x` along new axes and axes of length 1."""
    if x.shape == shape:
        return x
    return Tensor(np.broadcast_to(x.value, shape), ((x, lambda g, y: sum_to(g, x.shape)),), "broadcast")


def sum_to(x, shape):
    """Sums over the axes along which `shape` would be broadcast to that of `x`."""
    if x.shape == shape:
        return x
    axes = tuple(i for i, n in enumerate((1,) * (x.ndim - len(shape)) + shape) if n == 1)
    return Tensor(x.value.sum(axes).reshape(shape), ((x, lambda g, y: broadcast_to(g, x.shape)),), "sum")


def scatter(x, index, shape):
    """Zeros of `shape`, with `x` added at `index`."""
    value = np.zeros(shape, x.dtype)
    np.add.at(value, index, x.value)  # unlike value[index] += x, it adds again where an index repeats
    return Tensor(value, ((x, lambda g, y: g[index]),), "scatter")


def as_tensor(x, like):
    """A number in the dtype of the Tensor `like`; an array or Tensor in its own."""
    if isinstance(x, Tensor):
        return x
    return Tensor(np.asarray(x, like.dtype) if isinstance(x, Real) else x)


def align(a, b):
    """Two operands, at least one a Tensor, as Tensors of one dtype and their common shape."""
    like = a if isinstance(a, Tensor) else b
    a, b = as_tensor(a, like), as_tensor(b, like)
    if a.dtype != b.dtype:
        raise ValueError(
            f"The operands {a.shape} {a.dtype} and {b.shape} {b.dtype} have different dtypes: convert one."
        )
    shape = common_shape(a.shape, b.shape)
    return broadcast_to(a, shape), broadcast_to(b, shape)


def common_shape(a, b):
    """The shape to which both broadcast."""
    try:
        return np.broadcast_shapes(a, b)
    except ValueError:
        raise ValueError(
            f"The shapes {a} and {b} do not broadcast: counted from the right, axes must be equal or 1."
        ) from None


def reduced_shapes(shape, axis):
    """`shape` with the reduced axes as 1, and without them."""
    axes = normalize_axis_tuple(range(len(shape)) if axis is None else axis, len(shape))
    kept = tuple(1 if i in axes else n for i, n in enumerate(shape))
    return kept, tuple(n for i, n in enumerate(shape) if i not in axes)
