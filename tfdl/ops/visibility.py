"""Attention masks: which keys a query may see.  True is visible; shapes broadcast to (B, h, T, S).

Shapes: B batch, h heads, T queries, S keys.
"""

from keras import ops


def present(tokens, padding):
    """The tokens that are not padding, as keys: (B, S) -> (B, 1, 1, S) bool, or None without a padding id."""
    return None if padding is None else (tokens != padding)[:, None, None]


def causal(queries, keys, window=None):
    """Keys up to the query, and of these the last `window` if it is given.  (T,) and (S,) int32 positions -> (T, S)."""
    visible = keys[None] <= queries[:, None]
    if window is not None:
        visible = ops.logical_and(visible, keys[None] > queries[:, None] - window)
    return visible


def both(first, second):
    """Where both masks let a query see; None is a mask that hides nothing."""
    if first is None or second is None:
        return second if first is None else first
    return ops.logical_and(first, second)
