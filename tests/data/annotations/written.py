"""Writers of small data sets of every form, with the same pictures and boxes, for the tests of their readers."""

import json

import numpy as np
from PIL import Image

SIZE = (40, 60)  # height, width of every picture
OBJECTS = {  # picture -> rows of class and box
    "a": [("cat", [5, 10, 25, 30]), ("dog", [30, 0, 60, 40])],
    "b": [("dog", [10, 20, 20, 35])],
    "c": [],
}
LABELS = ["cat", "dog"]


def save_picture(path, mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (*SIZE, 4), "uint8")
    image = Image.fromarray(pixels[..., 0] if mode == "L" else pixels[..., : len(mode)], mode)
    image.save(path, **options)


def coco(folder, objects=OBJECTS, split="train"):
    for name in objects:
        save_picture(folder / split / f"{name}.jpg")
    rows = {"images": [], "annotations": [], "categories": [{"id": 3, "name": "cat"}, {"id": 8, "name": "dog"}]}
    for i, (name, boxes) in enumerate(objects.items()):
        rows["images"].append({"id": 10 + i, "file_name": f"{name}.jpg", "height": SIZE[0], "width": SIZE[1]})
        for label, (x1, y1, x2, y2) in boxes:
            row = {"id": len(rows["annotations"]), "image_id": 10 + i, "category_id": 3 if label == "cat" else 8}
            rows["annotations"].append(row | {"bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": 0})
    write_coco(folder, rows, split)
    return rows


def write_coco(folder, rows, split="train"):
    file = folder / "annotations" / f"instances_{split}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(rows))


def voc(folder):
    for name, boxes in OBJECTS.items():
        save_picture(folder / "JPEGImages" / f"{name}.jpg")
        objects = "".join(
            f"<object>\n<name>{label}</name>\n<difficult>0</difficult>\n<bndbox><xmin>{x1 + 1}</xmin>"
            f"<ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>\n</object>\n"
            for label, (x1, y1, x2, y2) in boxes
        )
        size = f"<size><width>{SIZE[1]}</width><height>{SIZE[0]}</height></size>"
        file = folder / "Annotations" / f"{name}.xml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"<annotation>\n<filename>{name}.jpg</filename>\n{size}\n{objects}</annotation>\n")


def yolo(folder):
    for name, boxes in OBJECTS.items():
        save_picture(folder / "images" / "train" / f"{name}.jpg")
        lines = []
        for label, (x1, y1, x2, y2) in boxes:
            x, y, w, h = (x1 + x2) / 2 / SIZE[1], (y1 + y2) / 2 / SIZE[0], (x2 - x1) / SIZE[1], (y2 - y1) / SIZE[0]
            lines.append(f"{LABELS.index(label)} {x:.8f} {y:.8f} {w:.8f} {h:.8f}")
        file = folder / "labels" / "train" / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines))
    (folder / "data.yaml").write_text("path: .\nnames:\n  0: cat\n  1: dog\n")


def labelme(folder):
    for name, boxes in OBJECTS.items():
        save_picture(folder / "train" / f"{name}.jpg")
        shapes = [
            {"label": label, "points": [[x2, y1], [x1, y2]], "shape_type": "rectangle"}
            for label, (x1, y1, x2, y2) in boxes
        ]
        document = {"imagePath": f"{name}.jpg", "imageHeight": SIZE[0], "imageWidth": SIZE[1], "shapes": shapes}
        (folder / "train" / f"{name}.json").write_text(json.dumps(document))


WRITERS = {"coco": coco, "voc": voc, "yolo": yolo, "labelme": labelme}


def counted(found):
    return {what: count for what, count in found.notes.items() if count}
