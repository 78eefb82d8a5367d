"""Tracking: a region follows a person who moves and turns, and a person who is gone is searched anew.

The network is planted: it finds the brightest place of each channel.
"""

import math

import numpy as np
import pytest
from PIL import Image, ImageDraw

import tfdl
from tests.inference.test_pose import NAMES, folder_of, planted
from tfdl.core.bodies import Body
from tfdl.inference.tracking import Region, Tracker, region_between, region_of, whole

DOLL = Body(names=NAMES, lines=((0, 2), (1, 2)), mirror=(1, 0, 2), axis=((0, 1), (2,)))
SIZE = (150, 200)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    return tfdl.load(folder_of(planted(), tmp_path_factory.mktemp("planted") / "run"))


def doll(x, y, turn, length=30):
    """A frame with a red, a green and a blue spot: hands below, head above; and their places (3, 2)."""
    region = Region(x, y, 1.0, turn)
    places = np.array([[0.5, 0.5], [-0.5, 0.5], [0, -0.5]]) * length @ region.rotation().T + [x, y]
    picture = Image.new("RGB", SIZE[::-1])
    draw = ImageDraw.Draw(picture)
    for (u, v), color in zip(places, ((255, 0, 0), (0, 255, 0), (0, 0, 255))):
        draw.ellipse((u - 4, v - 4, u + 4, v + 4), fill=color)
    return np.asarray(picture), places


def test_a_region_goes_to_the_frame_and_back():
    region = Region(40.0, 50.0, 64.0, 0.7)
    points = np.random.default_rng(0).uniform(0, 32, (5, 2))
    there = region.to_frame(points, (32, 32))
    np.testing.assert_allclose(region.from_frame(there, (32, 32)), points)
    np.testing.assert_allclose(region.to_frame([[16, 16]], (32, 32)), [[40, 50]])
    up = region.to_frame([[16, 0]], (32, 32))[0] - [40, 50]
    np.testing.assert_allclose(up, 32 * np.array([math.sin(0.7), -math.cos(0.7)]))


@pytest.mark.parametrize("turn", [0.0, 0.9, -2.5])
def test_what_is_cut_out_stands_upright(turn):
    frame, places = doll(100, 70, turn)
    region = Region(100.0, 70.0, 60.0, turn)
    image = region.cut(frame, (30, 30))
    assert image.shape == (30, 30, 3)
    for channel, (x, y) in enumerate(region.from_frame(places, (30, 30))):
        rows, columns = np.mgrid[:30, :30] + 0.5
        weights = image[..., channel].astype(float)
        center = [(weights * columns).sum() / weights.sum(), (weights * rows).sum() / weights.sum()]
        np.testing.assert_allclose(center, [x, y], atol=0.6)
    assert image[..., 2].argmax() // 30 < 15, "the head is above"


def test_the_next_region_is_around_the_points_and_turned_with_them():
    _, places = doll(90, 60, 1.0)
    points = np.concatenate([places, np.ones((3, 1))], 1)
    region = region_of(points, DOLL, margin=1.5)
    assert region.angle == pytest.approx(1.0) and region.side == pytest.approx(45)
    assert (region.x, region.y) == pytest.approx((90, 60), abs=1e-6)
    hidden = points * [1, 1, 0]
    assert region_of(hidden, DOLL) is None
    hidden[:2, 2] = 1
    assert region_of(hidden, DOLL).angle == 0, "the head is hidden, so nobody knows where is up"


def test_two_points_of_the_detector_are_a_region():
    region = region_between([50, 60], [50, 30], margin=1.0)
    assert (region.x, region.y, region.side, region.angle) == pytest.approx((50, 60, 60, 0))
    assert region_between([50, 60], [80, 60]).angle == pytest.approx(math.pi / 2)


def test_a_moving_and_turning_person_is_followed_without_a_new_search(predictor):
    asked = []

    def find(frame):
        asked.append(frame)
        return Region(60.0, 60.0, 70.0)

    tracker = Tracker(predictor, DOLL, find, present=0.3)
    for step in range(12):
        frame, places = doll(60 + 2 * step, 60 + step, 0.08 * step)
        pose = tracker(frame)
        assert pose is not None and pose.size == SIZE
        np.testing.assert_allclose(
            pose.keypoints[:, :2], places, atol=4.5, err_msg=f"frame {step}"
        )  # the spot's radius
    assert len(asked) == tracker.searches == 1
    assert tracker.region.angle == pytest.approx(0.08 * 11, abs=0.15)


def test_a_person_who_is_gone_is_searched_anew(predictor):
    tracker = Tracker(predictor, DOLL, lambda frame: Region(60.0, 60.0, 70.0) if frame.any() else None, present=0.3)
    frame, _ = doll(60, 60, 0.0)
    empty = np.zeros_like(frame)
    assert tracker(frame) is not None and tracker(empty) is None and tracker.region is None
    assert tracker(empty) is None and tracker.searches == 2
    assert tracker(frame) is not None and tracker.searches == 3


def test_without_a_detector_the_whole_frame_is_seen():
    region = whole(np.zeros((30, 50, 3), "uint8"))
    np.testing.assert_allclose(region.to_frame([[0, 0], [32, 32]], (32, 32)), [[0, -10], [50, 40]])


def test_wrong_bodies_and_frames_are_refused(predictor):
    with pytest.raises(ValueError, match="The model has the points left hand, right hand, head ..., and the body a"):
        Tracker(predictor, Body(names=("a",), lines=(), mirror=(0,)))
    with pytest.raises(ValueError, match=r"shape \(9, 9\) and is uint8; give \(h, w, 3\)"):
        Tracker(predictor, DOLL)(np.zeros((9, 9), "uint8"))
