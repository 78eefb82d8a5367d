"""Every model gives what another library's network, or its paper's, gives with the same weights."""

import pytest

from tests.parity.cases import CASES, LOGITS, MAPS, RELATIVE, run

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("case", CASES, ids=str)
def test_logits_and_maps_are_equal(case):
    row = run(case)
    assert row["parameters"] == row["their_parameters"]
    assert row["logits"] <= LOGITS and row["relative"] <= RELATIVE
    assert (row["maps"] or 0) <= MAPS, row["worst_map"]
