"""Videos: frames have numbers and times, answers go with them, and drawings become a video again.

PyAV is planted: a "video" is an array of NumPy in a file with a video's name.  One test is with PyAV itself.
"""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import tfdl
from tests.inference import test_detection, test_pose, test_tracking
from tfdl.commands import predict as predict_command
from tfdl.core.task import Task
from tfdl.inference import videos
from tfdl.inference.inputs import Broken
from tfdl.inference.tracking import Tracker, body_of
from tfdl.inference.videos import Film, frames, with_frames

SECOND = 10  # frames


class PlantedError(Exception):
    strerror = "Invalid data"


class PlantedFrame:
    """As of PyAV; its rotation is a quarter to the left where the first pixel says so."""

    def __init__(self, pixels, number=0):
        self.pixels, self.time = pixels, number / SECOND
        self.rotation = 90 if pixels[0, 0, 0] == 7 else 0

    @staticmethod
    def from_ndarray(pixels, format):
        return PlantedFrame(pixels)

    def to_ndarray(self, format):
        return self.pixels


class PlantedFile:
    """A file that is open for reading or writing."""

    def __init__(self, path, mode="r"):
        self.path, self.written = path, []
        self.streams = SimpleNamespace(video=[0])
        if mode == "r":
            try:
                self.stored = np.load(path)
            except ValueError:
                raise PlantedError from None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def decode(self, video):
        for number, pixels in enumerate(self.stored):
            if pixels[0, 0, 0] == 13:
                raise PlantedError
            yield PlantedFrame(pixels, number)

    def add_stream(self, codec, rate, options):
        return SimpleNamespace(codec_context=SimpleNamespace(), encode=lambda *frames: frames)

    def mux(self, frames):
        self.written += frames

    def close(self):
        with open(self.path, "wb") as file:
            np.save(file, np.stack([frame.pixels for frame in self.written]))
        with open(f"{self.path}.json", "w") as file:
            json.dump([float(frame.pts * frame.time_base) for frame in self.written], file)


PLANTED = SimpleNamespace(open=PlantedFile, FFmpegError=PlantedError, VideoFrame=PlantedFrame)


@pytest.fixture
def planted(monkeypatch):
    monkeypatch.setattr(videos, "library", lambda: PLANTED)


def write(path, pixels):
    with open(path, "wb") as file:
        np.save(file, pixels)
    return str(path)


def clip(path, count=5, size=(32, 64)):
    """A video in which the left half is red in even frames, and the right one in odd ones."""
    pixels = np.zeros((count, *size, 3), "uint8")
    for number, frame in enumerate(pixels):
        left = number % 2 * size[1] // 2
        frame[:, left : left + size[1] // 2, 0] = 255
    return write(path, pixels)


def test_frames_have_names_and_times(planted, tmp_path):
    path = clip(tmp_path / "clip.mp4")
    found = list(frames(path))
    assert [frame.name for frame in found] == [f"{path}#{number:06d}" for number in range(5)]
    assert [frame.time for frame in found] == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert [frame.number for frame in frames(path, every=2)] == [0, 2, 4]


def test_a_video_that_was_filmed_on_its_side_is_turned_upright(planted, tmp_path):
    pixels = np.random.default_rng(0).integers(20, 255, (1, 4, 6, 3), "uint8")
    pixels[:, 0, 0, 0] = 7
    (frame,) = frames(write(tmp_path / "a.mov", pixels))
    np.testing.assert_array_equal(frame.pixels, np.rot90(pixels[0]))


def test_frames_are_decoded_when_they_are_asked_for(planted, tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr(PlantedFrame, "to_ndarray", lambda self, format: taken.append(self.time) or self.pixels)
    found = frames(clip(tmp_path / "clip.mp4", count=9))
    next(found), next(found)
    assert taken == [0.0, 0.1]


def test_what_cannot_be_read_is_said_with_the_frame_and_the_others_go_on(planted, tmp_path):
    cut = np.zeros((4, 4, 4, 3), "uint8")
    cut[2] = 13
    (tmp_path / "text.mp4").write_text("no video")
    names = ("cut.mp4", "text.mp4", "none.mp4", "empty.mp4", "picture.png")
    paths = [str(tmp_path / name) for name in names]
    write(paths[0], cut)
    write(paths[3], cut[:0])
    first, second, *rest = with_frames(paths)
    assert (first.number, second.number) == (0, 1)
    assert rest == [
        Broken(paths[0], "it cannot be decoded after frame 1 (invalid data)"),
        Broken(paths[1], "it cannot be decoded (invalid data)"),
        Broken(paths[2], "no such file or directory"),
        Broken(paths[3], "it has no pictures"),
        paths[4],
    ]


def test_without_the_package_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match=r"Videos need the package av: pip install 'tfdl\[video\]'"):
        list(with_frames([clip(tmp_path / "clip.mp4")]))


# Answers


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted") / "run"
    return test_pose.folder_of(
        test_detection.planted(),
        folder,
        Task(kind="detection", labels=test_detection.COLORS, image_shape=(32, 32, 3), resize="pad"),
    )


def test_answers_are_those_of_the_frames_as_arrays(planted, detector, tmp_path):
    path, model = clip(tmp_path / "clip.mp4"), tfdl.load(detector)
    found = model.predict(path, batch_size=2)
    assert [(result.path, result.time) for result in found] == [(f.name, f.time) for f in frames(path)]
    for result, alone in zip(found, model.predict([frame.pixels for frame in frames(path)])):
        np.testing.assert_array_equal(result.boxes, alone.boxes)
        assert result.size == (32, 64) and alone.time is None
    assert found[0].boxes[0, 0] == 0 and found[1].boxes[0, 0] == 32
    with pytest.raises(ValueError, match="every is 0"):
        model.predict(path, every=0)


def test_json_has_times_and_out_has_a_video(planted, detector, tmp_path, capsys):
    path, out = clip(tmp_path / "clip.mp4"), tmp_path / "drawn"
    words = [str(detector), path, "--every", "2", "--json", "--out", str(out)]
    assert predict_command.main(words) == 0
    printed = capsys.readouterr()
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert [(row["path"], row["time"]) for row in rows] == [(f"{path}#00000{i}", i / SECOND) for i in (0, 2, 4)]
    assert "1 annotated video and contact_sheet.png" in printed.err
    assert json.loads((out / "clip.mp4.json").read_text()) == pytest.approx([0, 0.2, 0.4])
    drawn = np.load(out / "clip.mp4")
    height, width = drawn.shape[1:3]
    assert len(drawn) == 3 and height % 2 == width % 2 == 0
    assert drawn[:, height // 4 + 40, width // 4, 0].min() > 200, "the picture itself is not in the drawing"


def test_a_person_is_followed_from_frame_to_frame(planted, tmp_path):
    """What `Tracker` finds in the same frames; and where nobody is, what the network says of the whole frame."""
    dolls = [test_tracking.doll(95 + 2 * i, 70, 0.05 * i) for i in range(6)]
    walk = [(frame[38:102, 68:132], places - [68, 38]) for frame, places in dolls]
    pixels = np.stack([frame for frame, _ in walk] + [np.zeros_like(walk[0][0])])
    path = write(tmp_path / "walk.mp4", pixels)
    model = tfdl.load(test_pose.folder_of(test_pose.planted(), tmp_path / "run"))
    found = model.predict(path)
    assert [pose.path for pose in found] == [frame.name for frame in frames(path)]
    tracker = Tracker(model, body_of(model.task, test_pose.NAMES))
    whole = model.predict(list(pixels))
    for pose, alone, (frame, places) in zip(found, whole, walk):
        np.testing.assert_array_equal(pose.keypoints, tracker(frame).keypoints)
        np.testing.assert_allclose(pose.keypoints[:, :2], places, atol=2)
        assert (pose is found[0]) == np.array_equal(pose.keypoints, alone.keypoints), "the first alone is searched"
    assert tracker.searches == 1 and tracker(pixels[6]) is None
    np.testing.assert_array_equal(found[6].keypoints, whole[6].keypoints)


def test_a_drawing_of_another_size_is_fitted_into_the_first(planted, tmp_path):
    film = Film(tmp_path / "a.mp4")
    film.add(np.full((21, 30, 3), 10, "uint8"), 0.0)
    film.add(np.full((40, 30, 3), 10, "uint8"), 0.5)
    film.close()
    first, second = np.load(tmp_path / "a.mp4")
    assert first.shape == second.shape == (20, 30, 3)
    assert (first == 10).all() and (second[:, :15] == 10).all() and (second[:, 15:] == 255).all()


@pytest.mark.extras
def test_a_real_video_is_read_as_it_was_written(tmp_path):
    pytest.importorskip("av")
    shades = np.arange(12) * 20
    film = Film(tmp_path / "clip.mp4")
    for number, shade in enumerate(shades):
        film.add(np.full((48, 64, 3), shade, "uint8"), number / SECOND)
    film.close()
    found = list(frames(str(tmp_path / "clip.mp4")))
    np.testing.assert_allclose([frame.time for frame in found], np.arange(12) / SECOND, atol=1e-6)
    np.testing.assert_allclose([frame.pixels.mean() for frame in found], shades, atol=3)
    assert all(frame.pixels.shape == (48, 64, 3) for frame in found)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(ValueError, match="it cannot be decoded .invalid data"):
        list(frames(str(tmp_path / "text.mp4")))
