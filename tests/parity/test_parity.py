"""Every model gives what another library's network, or its paper's, gives with the same weights."""

import pytest

from tests.parity.cases import CASES, LOGITS, MAPS, RELATIVE, run

pytestmark = pytest.mark.parity


# Networks of which a smaller one of the same library is compared too: `python tools/parity.py` measures them as well.
LARGE = {"101_keras", "152", "152_keras", "161", "169", "19", "b5", "v2_s", "v2_s_timm", "v2_s_keras"}


def cases():
    for case in CASES:
        yield pytest.param(case, marks=pytest.mark.slow, id=str(case)) if case.variant in LARGE else case


@pytest.mark.parametrize("case", cases(), ids=str)
def test_logits_and_maps_are_equal(case):
    row = run(case)
    assert row["parameters"] == row["their_parameters"]
    assert row["logits"] <= LOGITS and row["relative"] <= RELATIVE
    assert (row["maps"] or 0) <= MAPS, row["worst_map"]
