"""Frames of video files, one after the other, and videos of drawings: through PyAV, the package of the extra `video`.

    for frame in frames("clip.mp4", every=5):
        print(frame.name, frame.time)                      # clip.mp4#000005 0.2

A frame is decoded when it is asked for, so that a film takes no more memory than a clip.  Its number counts all frames
from 0, its time is the one that the file states: frames need not have equal distances.  A video that was filmed on its
side is turned upright.
"""

import os
import stat
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from PIL import Image

from tfdl.inference.inputs import Broken

SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")
CLOCK = 90_000  # ticks a second, in which a video's times are written: the multiple of all usual rates
QUALITY = "20"  # x264's rate factor: 18 is said to look like the original, 23 is its default


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a video.

    Attributes:
        path: of the video.
        number: from 0.
        time: in seconds from the beginning.
        pixels: (h, w, 3) uint8.
    """

    path: str
    number: int
    time: float
    pixels: np.ndarray

    @property
    def name(self):
        """clip.mp4#000012"""
        return f"{self.path}#{self.number:06d}"


def is_video(item):
    """Whether a path is that of a video, by its ending."""
    return isinstance(item, str) and item.lower().endswith(SUFFIXES)


def video_of(name):
    """The path of the video that a frame's name begins with."""
    return name.rpartition("#")[0]


def with_frames(items, every=1):
    """The items as they come; in place of a video's path its frames, and `Broken` where it cannot be read on."""
    for item in items:
        if not is_video(item):
            yield item
            continue
        try:
            yield from frames(item, every)
        except OSError as error:
            yield Broken(item, (error.strerror or str(error)).lower())
        except ValueError as error:
            yield Broken(item, str(error))


def frames(path, every=1):
    """Each `every`-th `Frame` of a video, the first one first.

    Raises:
        ImportError: PyAV is missing; the message names the extra.
        OSError: there is no such file, or it is a pipe or a device.
        ValueError: it cannot be decoded, at all or from some frame on; or it has no pictures.
    """
    av = library()
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("it is not a regular file")
    number = -1
    try:
        with av.open(path) as file:
            for number, frame in enumerate(file.decode(video=0) if file.streams.video else ()):
                if number % every == 0:
                    pixels = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
                    # Streams without times of their own have frames at equal distances
                    time = number / file.streams.video[0].average_rate if frame.time is None else frame.time
                    yield Frame(path, number, float(time), np.ascontiguousarray(pixels))
    except av.FFmpegError as error:
        where = "it cannot be decoded" if number < 0 else f"it cannot be decoded after frame {number}"
        raise ValueError(f"{where} ({error.strerror.lower()})") from None
    if number < 0:
        raise ValueError("it has no pictures")


class Film:
    """Writes pictures as a video, each shown from its own time on.

    Args:
        path: of the file, .mp4.

    Raises:
        ImportError: PyAV is missing; the message names the extra.
    """

    def __init__(self, path):
        self.library, self.path = library(), path
        self.file = self.stream = None

    def add(self, pixels, time):
        """The next picture, (h, w, 3) uint8; one of another size than the first is fitted into it, on white."""
        if self.file is None:
            self.begin(*(side - side % 2 for side in pixels.shape[:2]))  # of colors, H.264 keeps one in 2 x 2 pixels
        size = self.stream.width, self.stream.height
        frame = self.library.VideoFrame.from_ndarray(fitted(pixels, size), format="rgb24")
        frame.pts, frame.time_base = round(CLOCK * time), Fraction(1, CLOCK)
        self.file.mux(self.stream.encode(frame))

    def begin(self, height, width):
        self.file = self.library.open(str(self.path), "w")
        self.stream = self.file.add_stream("libx264", rate=30, options={"crf": QUALITY})
        self.stream.width, self.stream.height, self.stream.pix_fmt = width, height, "yuv420p"
        self.stream.codec_context.time_base = Fraction(1, CLOCK)

    def close(self):
        if self.file is not None:
            self.file.mux(self.stream.encode())
            self.file.close()


def fitted(pixels, size):
    """A picture (h, w, 3) uint8 as large as `size` (width, height): a wider or higher one is made smaller."""
    height, width = pixels.shape[:2]
    if (width - width % 2, height - height % 2) == size:
        return np.ascontiguousarray(pixels[: size[1], : size[0]])
    image, page = Image.fromarray(pixels), Image.new("RGB", size, "white")
    image.thumbnail(size)
    page.paste(image)
    return np.asarray(page)


def library():
    """PyAV.  Raises ImportError naming the extra."""
    try:
        import av
    except ImportError as error:
        raise ImportError("Videos need the package av: pip install 'tfdl[video]'.") from error
    return av
