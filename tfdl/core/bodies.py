"""Key points of bodies and faces: their names, which are mirror images of each other, and the lines between them.

| key     | what                                                                                                |
|---------|-----------------------------------------------------------------------------------------------------|
| coco    | the 17 of Lin et al. 2014, arXiv:1405.0312; cocodataset.org/#keypoints-2020                         |
| blaze   | the 33 of Bazarevsky et al. 2020, arXiv:2006.10204, Fig. 3                                          |
| faces68 | the 68 of a face, Sagonas et al. 2013, "300 Faces in-the-Wild Challenge", Fig. 1, counted from 0    |

Left and right are those of the person.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Body:
    """K key points.

    Attributes:
        names: of the K points.
        lines: pairs of points that are joined in a drawing.
        mirror: the point that each becomes in a mirrored picture.
        ends: two groups of points; errors are measured by the distance between the means of the two.  () measures them
            by the longer side of the box around all.
        axis: two groups of points; from the mean of the first to that of the second it goes up.  () if unknown.
        sigmas: standard deviations of annotations, relative to the size of the object; () if nobody measured them.

    Raises:
        ValueError: `mirror` is no pairing of the points, a point that there is not, or another number of sigmas.
    """

    names: tuple[str, ...]
    lines: tuple[tuple[int, int], ...]
    mirror: tuple[int, ...]
    ends: tuple[tuple[int, ...], ...] = ()
    axis: tuple[tuple[int, ...], ...] = ()
    sigmas: tuple[float, ...] = ()

    def __post_init__(self):
        count = len(self.names)
        if sorted(self.mirror) != list(range(count)) or any(self.mirror[self.mirror[i]] != i for i in range(count)):
            raise ValueError(f"mirror is {self.mirror}; give for each of the {count} points the one it changes with.")
        used = [point for group in (*self.lines, *self.ends, *self.axis) for point in group]
        if any(not 0 <= point < count for point in used):
            raise ValueError(f"lines, ends and axis name points up to {max(used)}; there are {count}, from 0 on.")
        if self.sigmas and len(self.sigmas) != count:
            raise ValueError(f"There are {len(self.sigmas)} sigmas for {count} points; give one a point.")


def by_side(names):
    """The mirror of points whose names say left or right; the others stay."""
    mirrored = [name.replace("left", "?").replace("right", "left").replace("?", "right") for name in names]
    return tuple(names.index(name) for name in mirrored)


def both(*parts):
    """("knee",) -> ("left knee", "right knee")"""
    return tuple(f"{side} {part}" for part in parts for side in ("left", "right"))


def path(*points, closed=False):
    """The lines from point to point."""
    return tuple(zip(points, (*points[1:], points[0]) if closed else points[1:]))


COCO_NAMES = ("nose", *both("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"))
COCO_SIGMAS = (0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072)  # those of pycocotools
COCO_SIGMAS += (0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089)

LEFT_EYE = ("left eye inner", "left eye", "left eye outer")
RIGHT_EYE = ("right eye inner", "right eye", "right eye outer")
BLAZE_NAMES = ("nose", *LEFT_EYE, *RIGHT_EYE, *both("ear"), "mouth left", "mouth right")
BLAZE_NAMES += both("shoulder", "elbow", "wrist", "pinky", "index", "thumb")
BLAZE_NAMES += both("hip", "knee", "ankle", "heel", "foot index")

FACE_PARTS = {
    "jaw": 17,
    "right brow": 5,
    "left brow": 5,
    "nose bridge": 4,
    "nostrils": 5,
    "right eye": 6,
    "left eye": 6,
}
FACE_PARTS |= {"outer lips": 12, "inner lips": 8}
FACE_MIRROR = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)]  # jaw, brows, nose
FACE_MIRROR += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]  # eyes
FACE_MIRROR += [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]  # lips
FACE_LINES = (
    path(*range(17)) + path(*range(17, 22)) + path(*range(22, 27)) + path(*range(27, 31)) + path(*range(31, 36))
)
FACE_LINES += path(*range(36, 42), closed=True) + path(*range(42, 48), closed=True)
FACE_LINES += path(*range(48, 60), closed=True) + path(*range(60, 68), closed=True)

BODIES = {
    "coco": Body(
        names=COCO_NAMES,
        lines=(
            *path(15, 13, 11, 12, 14, 16),  # legs and hips
            *path(9, 7, 5, 6, 8, 10),  # arms and shoulders
            *((5, 11), (6, 12)),
            *path(3, 1, 0, 2, 4),  # ears, eyes, nose
            *((1, 2), (3, 5), (4, 6)),
        ),
        ends=((5, 6), (11, 12)),  # the torso
        axis=((11, 12), (5, 6)),
        mirror=by_side(COCO_NAMES),
        sigmas=COCO_SIGMAS,
    ),
    "blaze": Body(
        names=BLAZE_NAMES,
        lines=(
            *path(8, 6, 5, 4, 0, 1, 2, 3, 7),  # ear, eye, nose, eye, ear
            (9, 10),
            *path(15, 13, 11, 12, 14, 16),  # arms and shoulders
            *path(15, 17, 19, 15, 21),
            *path(16, 18, 20, 16, 22),
            *((11, 23), (12, 24)),
            *path(27, 25, 23, 24, 26, 28),  # legs and hips
            *path(27, 29, 31, 27),
            *path(28, 30, 32, 28),
        ),
        ends=((11, 12), (23, 24)),
        axis=((23, 24), (11, 12)),
        mirror=by_side(BLAZE_NAMES),
    ),
    "faces68": Body(
        names=tuple(f"{part} {i + 1}" for part, count in FACE_PARTS.items() for i in range(count)),
        lines=FACE_LINES,
        ends=((36,), (45,)),  # the outer corners of the eyes
        axis=((8,), (27,)),  # from the chin to between the eyes
        mirror=tuple(FACE_MIRROR),
    ),
}
