"""Reading, decoding and resizing pictures with TensorFlow operations, identical in data pipelines and in prediction.

    image = read(path, (224, 224, 3))               # () string tensor -> (224, 224, 3) uint8
    image = decode(content, (224, 224, 3), "crop")  # the same from the encoded bytes
    image = resize(pixels, (224, 224, 3))           # the same from pixels

JPEG, PNG, WebP, GIF (the first frame) and BMP are decoded by TensorFlow, TIFF by Pillow.  The format is recognized by
the content, not by the name.  JPEG and TIFF pictures are rotated according to their EXIF orientation.

Large JPEG files are decoded at 1/2, 1/4 or 1/8 of their size where that is at least the requested size: libjpeg then
skips high frequencies, which amounts to averaging.  Where a picture shrinks, each output pixel is the mean of the area
that it covers; where a side grows, pixels are interpolated.

An operation that fails inside a pipeline cannot name the file; `complaint` says what is wrong with a file.
"""

import io
import pathlib

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps, UnidentifiedImageError

from tfdl.core.quiet import muffled

SUFFIXES = (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
TIFF_SUFFIXES = (".tif", ".tiff")
RESIZES = ("stretch", "crop", "pad")
MAX_PIXELS = 178_956_970  # Pillow's limit too, 2 * 89 million; decoding so many takes about 2 GiB of memory
SMALL = 16_384  # bytes; decoding at a fraction is not worthwhile for smaller files
RATIOS = (1, 2, 4, 8)  # at which libjpeg can decode
EXIF_SEGMENTS = 64  # largest number of segments searched; a file has two or three before its picture
PLAIN_JPEG = {0: 0xFF, 1: 0xD8, 2: 0xFF, 3: 0xE0, 4: 0x00, 5: 0x10, 20: 0xFF, 21: 0xDB}  # JFIF, then tables: no EXIF
PLAIN_PNG = {0: 0x89, 1: 0x50, 2: 0x4E, 3: 0x47, 16: 0, 17: 0, 20: 0, 21: 0}  # both sides below 65,536
HUGE = f"it claims to have more than {MAX_PIXELS:,} pixels; make it smaller"


def read(path, image_shape, resize="stretch", *, tiff=False):
    """The picture in the file `path`, a () string tensor.  Other arguments, result and errors as in `decode`."""
    return decode(tf.io.read_file(path), image_shape, resize, tiff=tiff)


def decode(content, image_shape, resize="stretch", *, stored_channels=3, tiff=False):
    """An encoded picture, a () string tensor -> `image_shape` (H, W, C) uint8.

    Args:
        image_shape: height, width, and 1 or 3 channels (or as many as are stored).
        resize: "stretch" changes the proportions, "crop" keeps them and cuts out the center, "pad" keeps them and adds
            black borders.
        stored_channels: number of channels to decode, before conversion: 1 if all pictures are gray.
        tiff: whether to support TIFF in a graph.  This needs a Python function, so request it only where there are
            such files.  Outside of a graph TIFF is always supported.

    Raises:
        ValueError: an unknown `resize`, or an invalid shape.
        tf.errors.InvalidArgumentError: the content is not a picture, is damaged, or claims more than `MAX_PIXELS`.
    """
    check(image_shape, resize)
    content = tf.convert_to_tensor(content, tf.string)
    head = tf.cast(tf.io.decode_raw(content, tf.uint8, fixed_length=32), tf.int32)  # filled up with zeros
    plain_jpeg, small_png = tf.unstack(is_simple(head, content))
    size = tf.constant(image_shape[:2])

    def of_plain_jpeg():
        return tf.cond(
            tf.strings.length(content) < SMALL,
            lambda: tf.io.decode_jpeg(content, stored_channels),
            lambda: reduced_jpeg(content, size, stored_channels),
        )

    def of_simple():
        pixels = tf.cond(plain_jpeg, of_plain_jpeg, lambda: tf.io.decode_png(content, stored_channels))
        return finished(pixels, image_shape[:2])

    def finished(pixels, size):
        pixels = tf.ensure_shape(pixels, (None, None, stored_channels))
        return fitted(with_channels(pixels, image_shape[2]), size, resize)

    def of_jpeg():
        orientation = jpeg_orientation(content, head)
        return reduced_jpeg(content, tf.where(orientation < 5, size, size[::-1]), stored_channels), orientation

    def of_others():
        return other_pixels(content, head, stored_channels), 1

    def of_tiff():
        pixels = tf.ensure_shape(tf.numpy_function(pillow_pixels, [content], tf.uint8, stateful=False), (None, None, 3))
        return with_channels(pixels, stored_channels), 1

    def of_no_jpeg():
        reads_tiff = tiff or tf.executing_eagerly()
        return tf.cond(is_tiff(head), of_tiff, of_others) if reads_tiff else of_others()

    def of_any():
        pixels, orientation = tf.cond(starts(head, b"\xff\xd8\xff"), of_jpeg, of_no_jpeg)
        return turned(finished(pixels, tf.where(orientation < 5, size, size[::-1])), orientation)

    return tf.ensure_shape(tf.cond(plain_jpeg | small_png, of_simple, apart(of_any)), image_shape)


def resize(image, image_shape, resize="stretch"):
    """Pixels (h, w, c) uint8 -> `image_shape` (H, W, C) uint8.  Arguments and errors as in `decode`."""
    check(image_shape, resize)
    image = with_channels(tf.convert_to_tensor(image, tf.uint8), image_shape[2])
    return tf.ensure_shape(fitted(image, image_shape[:2], resize), image_shape)


def placement(stored, size, resize):
    """Where a picture's pixels go: scale (y, x) and offset (y, x), NumPy, such that new = scale * old + offset.

    Args:
        stored: (height, width, ...) of the upright picture.
        size: (height, width, ...) that it is resized to.
        resize: as in `decode`.
    """
    stored, size = np.array(stored[:2], "float64"), np.array(size[:2], "float64")
    if resize == "stretch":
        return size / stored, np.zeros(2)
    scales = stored / size
    if resize == "crop":
        kept = np.clip(np.round(size * scales.min()), 1, stored)
        return size / kept, -((stored - kept) // 2) * size / kept
    inner = np.maximum(np.round(stored / scales.max()), 1)
    return inner / stored, (size - inner) // 2


def complaint(file):
    """Why `file` can't be read as a picture, in a few words; None if it can.  Not for use in graphs."""
    try:
        content = pathlib.Path(file).read_bytes()
    except OSError as error:
        return error.strerror.lower()
    if not content:
        return "it is empty"
    if content[4:8] == b"ftyp":
        return "HEIC, AVIF or a video; convert it to PNG or JPEG"
    if content[:4] in TIFF_STARTS and pathlib.Path(file).suffix.lower() not in TIFF_SUFFIXES:
        return "it is a TIFF file; let its name end in .tif"
    with muffled():  # libjpeg prints its own message, which does not name the file
        try:
            decode(content, (8, 8, 3))
        except ValueError as error:  # Pillow's
            return str(error)
        except tf.errors.OpError as error:
            return reason(error.message)
    return None


def reason(message):
    """TensorFlow's message about a picture in plain words."""
    known = {
        "Unknown image file format": "it is not a JPEG, PNG, WebP, GIF, BMP or TIFF file",
        "jpeg::Uncompress failed": "its JPEG data is damaged or truncated",
        "WebP Animation": "it is an animated WebP; save its first picture as PNG or JPEG",
        HUGE: HUGE,
    }
    for words, meaning in known.items():
        if words in message:
            return meaning
    return message.split("}} ")[-1].split(" [Op:")[0].strip().splitlines()[0].rstrip(".")


def check(image_shape, resize):
    """Raises ValueError for an invalid shape or an unknown `resize`."""
    if len(image_shape) != 3 or min(image_shape) < 1:
        raise ValueError(f"A picture can't be resized to {tuple(image_shape)}: give height, width and 1 or 3 channels.")
    if resize not in RESIZES:
        raise ValueError(f"resize is {resize!r}; give one of {', '.join(RESIZES)}.")


# Formats


def is_simple(head, content):
    """(2) bool: whether it is a JPEG file without EXIF, and whether it is a small PNG file.

    These are decoded by a short graph: of small files, starting more operations takes longer than decoding.
    """
    patterns = [list(PLAIN_JPEG.values()), list(PLAIN_PNG.values())]
    found = tf.gather(head, [list(PLAIN_JPEG), list(PLAIN_PNG)])
    is_small = tf.maximum(head[18], head[22]) < 32  # of a PNG both sides are below 256 * 32
    return tf.reduce_all(found == patterns, 1) & [True, is_small & (tf.strings.length(content) < SMALL)]


def apart(function):
    """`function` in a separate graph, whose operations cost nothing when it is not called."""
    if tf.executing_eagerly():
        return function
    return tf.function(function, autograph=False, experimental_attributes={"_noinline": True})


def reduced_jpeg(content, size, channels):
    """JPEG decoded at the smallest of libjpeg's ratios that gives at least `size` (2)."""
    stored = tf.io.extract_jpeg_shape(content)[:2]
    refuse_huge(stored)
    fits = tf.stack([tf.reduce_all(-(-stored // ratio) >= size) for ratio in RATIOS[1:]])
    number = tf.reduce_sum(tf.cast(fits, tf.int32))  # what fits at 1/8 fits at 1/4 as well
    return tf.switch_case(number, [lambda r=ratio: tf.io.decode_jpeg(content, channels, ratio=r) for ratio in RATIOS])


def other_pixels(content, head, channels):
    """PNG, GIF, BMP, WebP -> (h, w, channels)."""
    with tf.control_dependencies([refuse_huge(tf.cond(starts(head, b"\x89PNG"), *sizes(head)))]):
        pixels = tf.io.decode_image(tf.identity(content), channels, expand_animations=False)
    return tf.ensure_shape(pixels, (None, None, channels))


def sizes(head):
    """Two functions that read (height, width) from a file's first 32 bytes: for PNG, and for GIF, BMP and WebP."""

    def number(*places):
        """The bytes at these places, the least significant first."""
        values = tf.cast(tf.gather(head, places), tf.int64)
        return tf.reduce_sum(values * [256**power for power in range(len(places))])

    def of_png():
        return tf.stack((number(23, 22, 21, 20), number(19, 18, 17, 16)))

    def of_others():
        bits = number(21, 22, 23, 24)  # lossless WebP: 14 bits for each side minus 1
        rows = number(22, 23, 24, 25)
        claims = {
            b"GIF8": (number(8, 9), number(6, 7)),
            b"BM": (tf.minimum(rows, 2**32 - rows), number(18, 19, 20, 21)),  # negative: rows from top to bottom
            b"VP8X": (number(27, 28, 29) + 1, number(24, 25, 26) + 1),
            b"VP8L": (bits // 2**14 % 2**14 + 1, bits % 2**14 + 1),
            b"VP8 ": (number(28, 29) % 2**14, number(26, 27) % 2**14),
        }
        size = tf.zeros(2, tf.int64)
        for letters, claim in claims.items():
            part = head[12:] if letters.startswith(b"VP8") else head  # after "RIFF", a length and "WEBP"
            size = tf.where(starts(part, letters), tf.stack(claim), size)
        return size

    return of_png, of_others


def refuse_huge(size):
    """An operation that fails if height times width is more than `MAX_PIXELS`."""
    count = tf.reduce_prod(tf.cast(size, tf.int64))
    return tf.raw_ops.Assert(condition=count <= MAX_PIXELS, data=[HUGE])


TIFF_STARTS = (b"II*\0", b"MM\0*")  # least significant byte first (Intel), or last (Motorola)


def is_tiff(head):
    return starts(head, TIFF_STARTS[0]) | starts(head, TIFF_STARTS[1])


def pillow_pixels(content):
    """Bytes that Pillow can read -> (h, w, 3) uint8, rotated by EXIF.  16-bit pixels are reduced to 8 bits."""
    try:
        with Image.open(io.BytesIO(np.asarray(content).item())) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(HUGE)
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I;16"):
                image = Image.fromarray((np.asarray(image).astype("uint16") >> 8).astype("uint8"))
            if image.mode in ("I", "F"):
                raise ValueError("its pixels have 32 bits; convert it to PNG or JPEG")
            return np.asarray(image.convert("RGB"))
    except UnidentifiedImageError:
        raise ValueError("Pillow can't read it; convert it to PNG or JPEG") from None
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"{error}; convert it to PNG or JPEG") from None


def starts(head, letters):
    """Whether the bytes `head`, int32, begin with `letters`."""
    return tf.reduce_all(head[: len(letters)] == list(letters))


# Orientation: Exif 2.3, section 4.6.4, tag 274


def jpeg_orientation(content, head):
    """1 to 8 from the EXIF segment of a JPEG file; 1 if there is none or it is damaged."""
    is_plain = tf.reduce_all(tf.gather(head, list(PLAIN_JPEG)) == list(PLAIN_JPEG.values()))
    return tf.cond(is_plain, lambda: 1, apart(lambda: exif_orientation(content)))


def exif_orientation(content):
    """As `jpeg_orientation`, by a search through the segments."""
    length = tf.strings.length(content)

    def searching(place, tiff, count):
        return (place > 0) & (tiff == 0) & (count < EXIF_SEGMENTS)

    def search(place, tiff, count):
        """Looks at the segment that begins at `place`: two bytes of marker, two of length, then its content."""
        start = tf.cast(tf.io.decode_raw(tf.strings.substr(content, place, 10), tf.uint8, fixed_length=10), tf.int32)
        is_application = (start[0] == 0xFF) & ((start[1] // 16 == 0xE) | (start[1] == 0xFE))  # or a comment
        is_exif = (start[1] == 0xE1) & starts(start[4:], b"Exif\0\0")
        following = place + 2 + start[2] * 256 + start[3]
        goes_on = is_application & (following + 10 < length)
        return tf.where(goes_on, following, 0), tf.where(is_application & is_exif, place + 10, tiff), count + 1

    first = tf.where(length > 12, 2, 0)  # after the two bytes that begin each JPEG file
    _, tiff, _ = tf.while_loop(searching, search, (first, 0, 0))
    is_found = (tiff > 0) & (tiff + 14 < length)
    most = 2**16  # no segment is longer
    return tf.cond(is_found, lambda: tiff_orientation(tf.strings.substr(content, tiff, most)), lambda: 1)


def tiff_orientation(content):
    """1 to 8 from the first directory of a TIFF structure, the format of EXIF data."""
    raw = tf.cast(tf.io.decode_raw(content, tf.uint8), tf.int64)
    is_little = starts(raw, b"II")
    size = tf.size(raw, tf.int64)

    def number(values, count):
        """(..., count) bytes -> (...)."""
        values = tf.where(is_little, values, values[..., ::-1])
        return tf.reduce_sum(values * [256**power for power in range(count)], -1)

    directory = tf.minimum(number(raw[4:8], 4), size - 2)
    count = tf.minimum(number(raw[directory : directory + 2], 2), (size - directory - 2) // 12)
    entries = tf.reshape(raw[directory + 2 : directory + 2 + 12 * count], (-1, 12))
    values = tf.boolean_mask(number(entries[:, 8:10], 2), number(entries[:, :2], 2) == 274)  # one number of 2 bytes
    value = tf.cast(tf.concat((values, [1]), 0)[0], tf.int32)
    return tf.where((value >= 1) & (value <= 8), value, 1)


def turned(image, orientation):
    """(H, W, C), rotated and mirrored by its EXIF orientation."""

    def is_one_of(*values):
        return tf.reduce_any(orientation == list(values))

    def turn():
        seen = tf.cond(orientation > 4, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
        seen = tf.cond(is_one_of(2, 3, 6, 7), lambda: seen[:, ::-1], lambda: seen)
        return tf.cond(is_one_of(3, 4, 7, 8), lambda: seen[::-1], lambda: seen)

    return tf.cond(orientation == 1, lambda: image, turn)


# Sizes


def with_channels(image, channels):
    """(h, w, c) -> (h, w, channels): gray to color, or color to gray by the weights of ITU-R BT.601."""
    if image.shape[-1] == channels:
        return image
    return tf.image.grayscale_to_rgb(image) if channels == 3 else tf.image.rgb_to_grayscale(image[..., :3])


def fitted(image, size, resize):
    """(h, w, c) uint8 -> (H, W, c) uint8; `size` is (H, W), numbers or a tensor."""
    if resize == "stretch":
        return scaled(image, size)
    stored = tf.cast(tf.shape(image)[:2], tf.float32)
    scales = stored / tf.cast(size, tf.float32)
    if resize == "crop":
        kept = tf.cast(tf.round(tf.cast(size, tf.float32) * tf.reduce_min(scales)), tf.int32)
        kept = tf.clip_by_value(kept, 1, tf.shape(image)[:2])
        top, left = tf.unstack((tf.shape(image)[:2] - kept) // 2)
        return scaled(image[top : top + kept[0], left : left + kept[1]], size)
    inner = tf.maximum(tf.cast(tf.round(stored / tf.reduce_max(scales)), tf.int32), 1)
    before = (size - inner) // 2
    after = size - inner - before
    return tf.pad(scaled(image, inner), tf.stack((*tf.unstack(tf.stack((before, after), 1)), (0, 0))))


def scaled(image, size):
    """(h, w, c) uint8 -> (H, W, c) uint8, regardless of proportions."""
    stored = tf.shape(image)[:2]

    def averaged():
        pixels = tf.raw_ops.ResizeArea(images=image[None], size=size)[0]
        return tf.cast(tf.round(pixels), tf.uint8)

    def interpolated():
        pixels = tf.image.resize(image, size, "bilinear", antialias=True)
        return tf.cast(tf.round(tf.clip_by_value(pixels, 0.0, 255.0)), tf.uint8)

    def changed():
        return tf.cond(tf.reduce_all(stored >= size), averaged, interpolated)

    return tf.cond(tf.reduce_all(stored == size), lambda: image, changed)
