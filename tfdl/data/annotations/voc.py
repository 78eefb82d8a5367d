"""Pascal VOC: an XML file for each picture, and lists of the pictures' names for each split.

The corners of a box count pixels from 1 and belong to it: xmin - 1 is its left side, xmax its right one.  An object
that is `difficult` is not evaluated.  Source: Everingham et al. 2010, "The Pascal Visual Object Classes Challenge",
section 2.
"""

import collections
import xml.parsers.expat
from dataclasses import dataclass, field
from typing import NamedTuple

from tfdl.core import pictures
from tfdl.data.annotations.record import SPELLINGS, Annotation, Found, numbers, pictures_in, record_of, text_of


class Described(NamedTuple):
    """What one XML file says: the picture's path, its objects, whose labels are names, and its size, if it has one."""

    path: object
    objects: list[Annotation]
    stored: tuple[int, int] | None


def read(folder, masks=False):
    """A folder with Annotations/, JPEGImages/ and, where the splits are given, ImageSets/Main/."""
    if masks:
        raise ValueError(f"{folder} has boxes alone, as every set of Pascal VOC's form; for masks give another form.")
    files = sorted((folder / "Annotations").glob("*.xml"))
    if not files:
        raise ValueError(f"{folder}/Annotations has no .xml file.")
    notes = collections.Counter()
    described = {file.stem: described_in(file) for file in files}
    stems = {path.stem for path in pictures_in(folder / "JPEGImages")}
    notes["pictures without a file in Annotations, left out"] += len(stems - set(described))
    labels = sorted({one.label for facts in described.values() for one in facts.objects})
    number = {label: place for place, label in enumerate(labels)}
    records = {}
    for stem, facts in described.items():
        objects = [one._replace(label=number[one.label]) for one in facts.objects]
        source = f"{facts.path} ({folder / 'Annotations' / stem}.xml)"
        records[stem] = record_of(source, str(facts.path), objects, stored=facts.stored, notes=notes)
    splits = {split: listed(file, records) for split, file in lists_in(folder).items()}
    if not splits:
        return Found(tuple(labels), {"train": list(records.values())}, notes)
    chosen = {id(record) for rows in splits.values() for record in rows}
    notes["pictures in no list of ImageSets/Main, left out"] += len(records) - len(chosen)
    return Found(tuple(labels), splits, notes)


def lists_in(folder):
    """split -> its list in ImageSets/Main; not trainval.txt, and not those of single classes, cat_train.txt."""
    files = sorted((folder / "ImageSets/Main").glob("*.txt"))
    return {SPELLINGS[file.stem.lower()]: file for file in files if file.stem.lower() in SPELLINGS}


def listed(file, records):
    """The records that a list names, one a line."""
    found = []
    for number, line in enumerate(text_of(file).splitlines(), start=1):
        if not line.strip():
            continue
        name = line.split()[0]
        if name not in records:
            raise ValueError(f"{file}, line {number}: there is no Annotations/{name}.xml; add it, or remove the line.")
        found.append(records[name])
    return found


def described_in(file):
    """What an XML file says of its picture."""
    root = read_xml(file)
    objects = []
    for node in root.inside:
        if node.name != "object":
            continue
        where, label, corners = f"{file}, line {node.line}", node.value("name"), node.find("bndbox")
        if not label or corners is None:
            raise ValueError(f"{where}: the object has no {'bndbox' if label else 'name'}; add it.")
        x1, y1, x2, y2 = numbers([corners.value(key) for key in ("xmin", "ymin", "xmax", "ymax")], where)
        objects.append(Annotation([x1 - 1, y1 - 1, x2, y2], label, where, node.value("difficult", "0") == "1"))
    size = root.find("size")
    sides = [] if size is None else [size.value(key, "0") for key in ("height", "width")]
    is_known = len(sides) == 2 and all(side.isdigit() and int(side) for side in sides)
    name = root.value("filename") or f"{file.stem}.jpg"
    return Described(picture_of(file, name), objects, tuple(map(int, sides)) if is_known else None)


def picture_of(file, name):
    """The picture that an XML file names, or the one that is called as the file is."""
    names = (name, *(f"{file.stem}{suffix}" for suffix in pictures.SUFFIXES))
    for base in (file.parent.parent / "JPEGImages", file.parent.parent / "images", file.parent):
        for candidate in names:
            if (base / candidate).is_file():
                return base / candidate
    raise FileNotFoundError(f"{file}: there is no picture {name} in JPEGImages; add it, or remove the file.")


# XML


@dataclass
class Node:
    """An XML element: its name, the line it begins on, its text and what is inside."""

    name: str
    line: int
    text: str = ""
    inside: list = field(default_factory=list)

    def find(self, name):
        return next((node for node in self.inside if node.name == name), None)

    def value(self, name, default=None):
        node = self.find(name)
        return default if node is None else node.text.strip()


def read_xml(file):
    """The root `Node` of an XML file; entities of its own are refused, as no annotation needs them."""
    parser, stack = xml.parsers.expat.ParserCreate(), [Node("", 0)]

    def start(name, attributes):
        node = Node(name, parser.CurrentLineNumber)
        stack[-1].inside.append(node)
        stack.append(node)

    def text(letters):
        stack[-1].text += letters

    def entity(*_):
        raise ValueError(f"{file}, line {parser.CurrentLineNumber}: entities are not read; remove them.")

    parser.StartElementHandler, parser.EndElementHandler = start, lambda name: stack.pop()
    parser.CharacterDataHandler, parser.EntityDeclHandler = text, entity
    try:
        parser.Parse(file.read_bytes(), True)
    except xml.parsers.expat.ExpatError as error:
        raise ValueError(f"{file}, line {error.lineno}: this is no XML ({error}); correct or replace it.") from None
    return stack[0].inside[0]
