"""Bipartite matching: each object gets one query, no query gets two objects, and the sum of the costs is smallest.

    sigma = argmin over injective sigma of sum over objects n of cost[sigma(n), n]

Paper: Carion et al. 2020, arXiv:2005.12872 (DETR), eq. 1; the algorithm is scipy's `linear_sum_assignment`: Crouse
2016, IEEE Trans. Aerosp. Electron. Syst. 52(4).
Shapes: ... any axes, Q queries, N objects with padding.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment

UNMATCHED = -1  # in place of a query
FORBIDDEN = 1e6  # cost of a pair whose cost is not finite; larger than any sum of those that are


def match(cost, is_object):
    """The query of each object, in NumPy.

    Args:
        cost: (..., Q, N) of giving an object to a query; of padded objects it may be anything.
        is_object: (..., N) bool, false where padded.

    Returns:
        (..., N) int32: in [0, Q), all different along the last axis, for objects; -1 for padding.  If there are more
        objects than queries, those that would cost most get -1 too.
    """
    cost = np.nan_to_num(cost, nan=FORBIDDEN, posinf=FORBIDDEN, neginf=FORBIDDEN)
    shape = is_object.shape
    queries = cost.shape[-2]
    cost, is_object = cost.reshape(-1, queries, shape[-1]), is_object.reshape(-1, shape[-1])
    found = np.full(is_object.shape, UNMATCHED, "int32")
    for row, (costs, here) in enumerate(zip(cost, is_object)):
        objects = np.flatnonzero(here)
        rows, columns = linear_sum_assignment(costs[:, objects])
        found[row, objects[columns]] = rows
    return found.reshape(shape)
