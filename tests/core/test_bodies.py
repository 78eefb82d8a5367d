"""Tables of key points: as many as the sources have, mirrored in pairs, and joined within the same side."""

import pytest

from tfdl.core.bodies import BODIES, Body

COUNTS = {"coco": 17, "blaze": 33, "faces68": 68}


@pytest.mark.parametrize("key", BODIES)
def test_points_are_as_many_as_the_sources_have(key):
    body = BODIES[key]
    assert len(set(body.names)) == len(body.names) == COUNTS[key]
    assert {point for line in body.lines for point in line} == set(range(COUNTS[key])), "every point is drawn"


@pytest.mark.parametrize("key", BODIES)
def test_lines_of_one_side_are_mirror_images_of_those_of_the_other(key):
    body = BODIES[key]
    lines = {frozenset(line) for line in body.lines}
    assert {frozenset(body.mirror[point] for point in line) for line in lines} == lines
    first, second = map(frozenset, body.ends)
    mirrored = {frozenset(body.mirror[point] for point in group) for group in (first, second)}
    assert mirrored == {first, second}


def test_left_and_right_change_places():
    body = BODIES["coco"]
    assert body.names[body.mirror[body.names.index("left knee")]] == "right knee"
    assert body.mirror[0] == 0
    blaze = BODIES["blaze"]
    assert blaze.names[blaze.mirror[blaze.names.index("mouth left")]] == "mouth right"


def test_wrong_tables_are_refused():
    with pytest.raises(ValueError, match="give for each of the 2 points the one it changes with"):
        Body(names=("a", "b"), lines=(), mirror=(1, 1))
    with pytest.raises(ValueError, match="lines, ends and axis name points up to 2; there are 2"):
        Body(names=("a", "b"), lines=((0, 2),), mirror=(0, 1))
    with pytest.raises(ValueError, match="1 sigmas for 2 points"):
        Body(names=("a", "b"), lines=(), mirror=(0, 1), sigmas=(0.1,))
