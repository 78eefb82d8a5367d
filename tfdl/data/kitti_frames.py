"""Frames of KITTI: points of the LiDAR, and the labels' boxes brought from the camera to the LiDAR.

KITTI gives a box by the middle of its floor in the rectified camera's frame (x right, y down, z forward), its height,
width and length, and the angle r_y about y.  With the rotation R0 of the rectification and the LiDAR's pose [R | t] in
the camera, a point p of the LiDAR is R0 (R p + t) there, so that

    p = R^T (R0^T p_camera - t)

The direction of the length is (cos r_y, 0, -sin r_y) in the camera; turned to the LiDAR, it gives the yaw.

Source: Geiger et al. 2012, "Are we ready for autonomous driving? The KITTI vision benchmark suite", CVPR; its
development kit's readme for the labels.
"""

import pathlib

import numpy as np

from tfdl.data import sources

CAR = "Car"
ALIKE = ("Van",)  # neither right nor wrong, as in KITTI's own evaluation
FILE = pathlib.Path("kitti_mini") / "kitti_mini.npz"


def read(frame="", data_dir=None):
    """The frames with cars, or one of them: (points (M, 4), boxes (n, 7), labels (n), ignored (n), name) of each.

    Labels are 0 for cars; vans are ignored.  All other classes, and regions without a label ("DontCare"), which have
    no box in space, are left out.

    Raises:
        FileNotFoundError: the data directory has no such file.
        ValueError: there is no such frame, or it has no car.
    """
    path = pathlib.Path(data_dir or sources.data_dir()).expanduser() / FILE
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}; give scenes, or set TFDL_DATA_DIR to the folder that has it.")
    with np.load(path, allow_pickle=False) as file:
        names = sorted({key.partition("/")[0] for key in file.files if "/" in key})
        if frame and frame not in names:
            raise ValueError(f"{path} has no frame {frame!r}; it has {', '.join(names)}.")
        frames = [read_frame(file, name) for name in ([frame] if frame else names)]
    found = [fields for fields in frames if (fields[2] == 0).any()]
    if not found:
        raise ValueError(f"Frame {frame!r} of {path} has no car; give one that has, or kitti for all of those.")
    return found


def read_frame(file, name):
    """One frame of an open file, see `read`."""
    fields = {key: file[f"{name}/{key}"] for key in ("points", "label", "dims_hwl", "loc_cam_xyz", "rot_y")}
    classes = [str(file["class_names"][number]) for number in fields["label"]]
    kept = [row for row, label in enumerate(classes) if label == CAR or label in ALIKE]
    boxes = boxes_in_lidar(
        fields["loc_cam_xyz"][kept],
        fields["dims_hwl"][kept],
        fields["rot_y"][kept],
        file[f"{name}/R0_rect"],
        file[f"{name}/Tr_velo_to_cam"],
    )
    ignored = np.array([classes[row] in ALIKE for row in kept], bool)
    return fields["points"].astype("float32"), boxes, np.zeros(len(kept), "int32"), ignored, name


def boxes_in_lidar(floors, sizes, angles, rectification, pose):
    """Boxes of the camera as boxes of the LiDAR.

    Args:
        floors: (n, 3), middles of the floors in the rectified camera's frame.
        sizes: (n, 3), height, width, length.
        angles: (n,), r_y.
        rectification: R0 (3, 3).
        pose: [R | t] (3, 4) from the LiDAR to the camera.

    Returns:
        (n, 7) float32: x, y, z of the center, length, width, height, yaw.
    """
    floors, sizes, angles = (np.asarray(values, "float64") for values in (floors, sizes, angles))
    turn, shift = pose[:, :3], pose[:, 3]
    centers = floors - np.stack([0 * angles, sizes[:, 0] / 2, 0 * angles], axis=1)  # y points down
    centers = (centers @ rectification - shift) @ turn  # rows, so the transposed matrices stand on the right
    lengthwise = np.stack([np.cos(angles), 0 * angles, -np.sin(angles)], axis=1) @ rectification @ turn
    yaw = np.arctan2(lengthwise[:, 1], lengthwise[:, 0])
    return np.concatenate([centers, sizes[:, [2, 1, 0]], yaw[:, None]], axis=1).astype("float32")
