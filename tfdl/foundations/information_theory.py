"""Information theory: entropy, divergence, mutual information, and Huffman codes, whose length approaches the entropy.

    entropy([0.5, 0.25, 0.25], base=BITS)              1.5 bits
    kl_divergence(p, q, axis=-1)                       extra nats from coding p with a code for q
    code = huffman_code(Counter(text))                 symbol -> "0101"

Tables are probabilities along `axis`, where they sum to 1; the other axes are a batch of separate problems.
0 log 0 is 0.  `base` is the unit: e (the default) for nats, 2 for bits.

Sources: Cover and Thomas 2006, Elements of Information Theory, chapters 2, 5 and 8; Huffman 1952, A method for the
construction of minimum-redundancy codes.
"""

import heapq
import math

import numpy as np

from tfdl.foundations.probability import broadcast, require, require_simplex
from tfdl.foundations.special_functions import deviance, x_log_y

BITS, NATS = 2.0, math.e

# --- tables ----------------------------------------------------------------------------------------------------------


def entropy(p, *, axis=-1, base=NATS):
    """H(p) = -sum p log p, the mean surprise (Cover and Thomas, eq. 2.1).  (..., K) -> (...)."""
    return cross_entropy(p, p, axis=axis, base=base)


def cross_entropy(p, q, *, axis=-1, base=NATS):
    """-sum p log q, the mean surprise under q if p is true; inf if q is 0 where p is not.

    Args:
        p, q: tables of the same length along `axis`; the other axes broadcast.

    Raises:
        ValueError: negative or unnormalized probabilities, lengths that differ, or a base of 1 or less.
    """
    p, q = tables(axis, p, q)
    return 0.0 - x_log_y(p, q).sum(-1) / unit(base)  # not -sum, which could give -0.0


def kl_divergence(p, q, *, axis=-1, base=NATS):
    """KL(p || q) = sum p log(p / q): 0 only where p = q, inf if q is 0 where p is not (eq. 2.26).

    Since both sum to 1, it is also the sum of p log(p / q) - p + q, whose terms are never negative.
    """
    p, q = tables(axis, p, q)
    with np.errstate(divide="ignore", over="ignore"):
        return np.where(p == 0, q, deviance(np.where(p == 0, 1, p), q, np.log(q))).sum(-1) / unit(base)


def js_divergence(p, q, *, axis=-1, base=NATS):
    """Jensen-Shannon: the mean KL of p and q to their average; symmetric, 0 to 1 bit (Lin 1991)."""
    p, q = tables(axis, p, q)
    middle = (p + q) / 2
    return (kl_divergence(p, middle, base=base) + kl_divergence(q, middle, base=base)) / 2


def mutual_information(joint, *, base=NATS):
    """I(X; Y) = KL(p(x, y) || p(x) p(y)): what X tells about Y (eq. 2.28).  Joint tables (..., X, Y) -> (...)."""
    joint = np.asarray(joint, "float64")
    if joint.ndim < 2:
        raise ValueError(f"A joint table has two axes or more; got shape {joint.shape}: give (..., X, Y).")
    independent = joint.sum(-1, keepdims=True) * joint.sum(-2, keepdims=True)
    flat = (*joint.shape[:-2], joint.shape[-2] * joint.shape[-1])
    return kl_divergence(joint.reshape(flat), independent.reshape(flat), base=base)


def joint_table(x, y):
    """Relative frequency of each pair among N observations: x (N, ...), y (N,) -> (..., X, Y).

    Mutual information estimated from this table is about (X - 1) (Y - 1) / (2 N) nats too high (Miller 1955).

    Raises:
        ValueError: N differs, or a value is not a whole number, 0 or more.
    """
    x, y = np.asarray(x), np.asarray(y)
    if y.ndim != 1 or x.shape[:1] != y.shape or not y.size:
        raise ValueError(f"joint_table needs x (N, ...) and y (N,) with N at least 1; got {x.shape} and {y.shape}.")
    for name, values in (("x", x), ("y", y)):
        require((values >= 0) & (values % 1 == 0), name, values, "a whole number, 0 or more")
    ones = [(values[..., None] == np.arange(values.max() + 1)).astype("float64") for values in (x, y)]
    return np.einsum("n...x,ny->...xy", *ones) / len(y)


def perplexity(p, q, *, axis=-1):
    """exp of the cross-entropy: the number of equally likely outcomes with the same surprise."""
    return np.exp(cross_entropy(p, q, axis=axis))


# --- Gaussians: closed forms -----------------------------------------------------------------------------------------


def gaussian_entropy(gaussian, *, base=NATS):
    """log det(2 pi e covariance) / 2 of a MultivariateNormal (Theorem 8.4.1), shape of its batch; may be negative."""
    width = gaussian.mean.shape[-1]
    return (gaussian.log_determinant + width * math.log(2 * math.pi * math.e)) / 2 / unit(base)


def gaussian_kl(p, q, *, base=NATS):
    """KL(p || q) of two MultivariateNormals of equal dimension, shape of their common batch.

    (tr(S_q^-1 S_p) - log det(S_q^-1 S_p) - D + |m_q - m_p|^2 measured in S_q) / 2.  With the Cholesky factors, the
    distance is |L_q^-1 (m_q - m_p)|^2, and the rest is a sum of s^2 - log s^2 - 1 >= 0 over the D singular values of
    L_q^-1 L_p.
    """
    width = p.mean.shape[-1]
    if q.mean.shape[-1] != width:
        raise ValueError(f"KL needs Gaussians of equal dimension; got {width} and {q.mean.shape[-1]}.")
    squares = np.linalg.svd(np.linalg.solve(q.factor, p.factor), compute_uv=False) ** 2
    distance = (np.linalg.solve(q.factor, (q.mean - p.mean)[..., None]) ** 2).sum((-2, -1))
    return (deviance(1.0, squares, np.log(squares)).sum(-1) + distance) / 2 / unit(base)


def gaussian_mutual_information(gaussian, first, *, base=NATS):
    """I(X; Y) where X are the `first` coordinates of a MultivariateNormal, Y the others: H(X) + H(Y) - H(X, Y).

    With one coordinate each and correlation r it is -log(1 - r^2) / 2 (Example 8.5.1).
    """
    width = gaussian.mean.shape[-1]
    require(0 < first < width, "first", first, f"above 0 and below {width}, the dimension of the Gaussian")
    marginals = gaussian.covariance[..., :first, :first], gaussian.covariance[..., first:, first:]
    separate = sum(np.linalg.slogdet(marginal).logabsdet for marginal in marginals)
    return np.maximum(separate - gaussian.log_determinant, 0) / 2 / unit(base)  # rounding could make it negative


# --- Huffman: the shortest prefix-free code -----------------------------------------------------------------------


def huffman_code(counts):
    """The prefix-free binary code of smallest expected length, as symbol -> "0101".

    The two rarest groups of symbols are merged, and their codes get a 0 and a 1 in front, until one group is left.  The
    expected length is at least the entropy and less than 1 bit above it (Theorem 5.4.1).  A lone symbol gets "0".

    Args:
        counts: dict symbol -> count or probability, all above 0; ties are merged in the dict's order.
    """
    values = np.array([*counts.values()])
    require((values > 0) & (values < np.inf), "count", values, "above 0 and finite: leave out symbols that never occur")
    if not counts:
        raise ValueError("huffman_code got no symbols; count at least one.")
    code = dict.fromkeys(counts, "" if len(counts) > 1 else "0")
    heap = [(count, order, [symbol]) for order, (symbol, count) in enumerate(counts.items())]
    heapq.heapify(heap)
    for order in range(len(counts), 2 * len(counts) - 1):
        groups = [heapq.heappop(heap) for _ in range(2)]
        for bit, (_, _, symbols) in zip("01", groups):
            code |= {symbol: bit + code[symbol] for symbol in symbols}
        heapq.heappush(heap, (groups[0][0] + groups[1][0], order, groups[0][2] + groups[1][2]))
    return code


def encode(symbols, code):
    """The codewords of the symbols one after another, a string of 0 and 1."""
    if unknown := set(symbols) - code.keys():
        raise ValueError(
            f"The code has no codeword for {min(unknown, key=repr)!r}; build it from counts that include this symbol."
        )
    return "".join(code[symbol] for symbol in symbols)


def decode(bits, code):
    """The symbols of a string of 0 and 1: no codeword is a prefix of another, so the first match is right."""
    symbols, words, start = [], {word: symbol for symbol, word in code.items()}, 0
    for end in range(1, len(bits) + 1):
        if (word := bits[start:end]) in words:
            symbols.append(words[word])
            start = end
    if start < len(bits):
        raise ValueError(f"The bits from {start} on, {bits[start : start + 20]!r}, are not a complete codeword.")
    return symbols


def expected_length(counts, code):
    """Expected bits per symbol of `code` (symbol -> codeword) for symbols with these `counts` (symbol -> count)."""
    return sum(n * len(code[symbol]) for symbol, n in counts.items()) / sum(counts.values())


def kraft_sum(code):
    """Sum of 2^-length over all codewords: at most 1 for a prefix-free code, 1 for a complete one (Theorem 5.2.1)."""
    return sum(2.0 ** -len(word) for word in code.values())


# --- input validation ------------------------------------------------------------------------------------------------


def tables(axis, p, q):
    """Both as float64 probabilities along the last axis, of the same length; their sums, 1 to 1e-5, become 1."""
    p, q = np.asarray(p, "float64"), np.asarray(q, "float64")
    require_simplex("p", p, axis)
    require_simplex("q", q, axis)
    if p.shape[axis] != q.shape[axis]:
        raise ValueError(f"p and q differ in length along axis {axis}: shapes {p.shape} and {q.shape}.")
    p, q = np.moveaxis(p, axis, -1), np.moveaxis(q, axis, -1)
    broadcast("p and q", p.shape, q.shape)
    return p / p.sum(-1, keepdims=True), q / q.sum(-1, keepdims=True)


def unit(base):
    """log(base): nats per unit."""
    require(base > 1, "base", base, "above 1: e for nats, 2 for bits")
    return math.log(base)
