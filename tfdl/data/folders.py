"""Users' own pictures: a folder of class sub-folders, with or without a folder for each split.

    photos/cat/*.jpg  photos/dog/*.jpg                       the splits are made here
    photos/train/cat/*.jpg ... photos/val/cat/*.jpg ...      they are given; a missing one is taken from train

What is skipped is counted and said in one line: files of other kinds, hidden ones, pipes, links that lead nowhere.

A split that is made here has its share of every class.  Each picture's place is the hash of its path below the folder,
a number between 0 and 1; of each class those in the highest places are the test split, the next ones the validation
split.  In classes of hundreds of pictures each picture's place alone decides: it stays in its split whatever
comes or goes.  In small classes that would leave splits empty, so the border moves until the share is right; then a
picture that comes or goes can move one other across each border.
"""

import collections
import hashlib
import math
import os
import sys
from dataclasses import dataclass, field

from tfdl.core import pictures
from tfdl.core.names import is_writable

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
JUNK = ("__MACOSX",)  # what archives and desktops leave behind; what begins with a dot is skipped as well
FRACTION = 0.1  # of the pictures, for validation and for test
SLACK = 0.05  # part of a split's size by which it may differ from its share, rounded down: none in small classes


@dataclass
class Listing:
    """Pictures found, and what else was there."""

    pictures: list[tuple] = field(default_factory=list)  # path, path below the listed folder, class
    others: collections.Counter = field(default_factory=collections.Counter)  # suffix -> files of another kind
    hidden: int = 0
    dangling: int = 0  # pipes, and links that lead nowhere or to a folder
    empty: list[str] = field(default_factory=list)  # class folders without a picture


def read(folder, validation_fraction=None, test_fraction=None, split_seed=0):
    """The class names, and split -> ((path, ...), [class number, ...]), in an order that mixes the classes.

    Args:
        validation_fraction, test_fraction: of every class, where the folder has no such split; None is `FRACTION`.
        split_seed: another number makes other splits.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it has no pictures in class sub-folders, a class has a name that is no text, or a split has
            no pictures or knows other classes than train.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}; give the path of a folder of class sub-folders.")
    fractions = checked(folder, validation_fraction, test_fraction)
    roots = split_folders(folder)
    inside = [name for name in subfolders(folder) if folder / name not in roots.values()]
    if not roots and not inside:
        raise ValueError(f"The folder {folder} has no sub-folders; put the images of each class in one of its own.")
    listings, labels = {}, None
    for split, root in (roots or {"train": folder}).items():
        names = subfolders(root)
        listing = listed(root, names)
        kept = [name for name in names if name not in listing.empty]
        labels = kept if labels is None else labels  # train comes first
        if unknown := [name for name in kept if name not in labels]:
            raise ValueError(
                f"The folder {root} has the classes {', '.join(unknown)}, which train lacks; add them there too."
            )
        listings[split] = listing
    pairs = [((roots or {"train": folder})[split], listing) for split, listing in listings.items()]
    report(folder, pairs, inside if roots else [])
    if broken := [label for label in labels if not is_writable(label)]:
        raise ValueError(
            f"The class folder {broken[0]!r} of {folder} has a name that is no text of one line; rename it."
        )
    number = {label: number for number, label in enumerate(labels)}
    rows = {
        split: [(path, below, number[label]) for path, below, label in listing.pictures]
        for split, listing in listings.items()
    }
    for split in ("test", "validation"):
        if split in roots and fractions[split] is not None:
            raise ValueError(f"{folder} already has the split {split!r}; leave out {split}_fraction.")
    missing = {split: fractions[split] or FRACTION for split in ("test", "validation") if split not in roots}
    rows |= dealt(rows["train"], missing, split_seed)
    for split, found in rows.items():
        if not found:
            raise ValueError(
                f"The folder {folder} gives no image to the split {split!r}; add images (a class needs three to be"
                f" split), or make sub-folders train/, validation/ and test/ with class sub-folders in each."
            )
    ordered = {split: sorted(rows[split], key=lambda row: place(row[1])) for split in SPLITS}
    return tuple(labels), {
        split: (tuple(path for path, _, _ in found), [number for _, _, number in found])
        for split, found in ordered.items()
    }


def checked(folder, validation_fraction, test_fraction):
    """The fractions by split."""
    fractions = {"validation": validation_fraction, "test": test_fraction}
    for split, fraction in fractions.items():
        if fraction is not None and not 0.0 < fraction < 1.0:
            raise ValueError(f"{split}_fraction is {fraction}; give a number above 0 and below 1.")
    total = sum(FRACTION if fraction is None else fraction for fraction in fractions.values())
    if total >= 1.0:
        raise ValueError(f"validation_fraction and test_fraction make {total:g} of {folder}; leave some for training.")
    return fractions


def split_folders(folder):
    """split -> its folder, if `folder` is laid out by splits: it has a train folder with sub-folders of its own.

    Upper case or lower makes no difference.  Beside sub-folders of other names, "train" alone is taken for a class.
    """
    names = subfolders(folder)
    found = {}
    for split, spellings in SPLITS.items():
        matches = [name for name in names if name.lower() in spellings]
        if len(matches) > 1:
            raise ValueError(f"The folders {' and '.join(matches)} of {folder} mean the same split; keep one of them.")
        if matches:
            found[split] = folder / matches[0]
    if len(found) == len(names) > 1 and not any(subfolders(folder / name) for name in names):
        raise ValueError(f"{', '.join(names)} in {folder} have no class sub-folders; make one for each class in them.")
    is_layout = "train" in found and subfolders(found["train"]) and (len(found) > 1 or len(names) == 1)
    return found if is_layout else {}


def subfolders(folder):
    """Names of the folders in `folder` that are neither hidden nor junk, sorted."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not is_junk(entry.name))


def is_junk(name):
    return name.startswith(".") or name in JUNK


def listed(root, names):
    """The `Listing` of the class folders `names` below `root`, whatever folders these hold."""
    listing = Listing()
    for name in names:
        before = len(listing.pictures)
        walk(root / name, name, name, listing)
        if len(listing.pictures) == before:
            listing.empty.append(name)
    return listing


def walk(folder, below, label, listing):
    """Adds what `folder` holds to the listing; `below` is its path from the listed folder on."""
    with os.scandir(folder) as entries:
        for entry in entries:
            suffix = os.path.splitext(entry.name)[1].lower()
            if is_junk(entry.name):
                listing.hidden += 1
            elif entry.is_dir(follow_symlinks=False):
                walk(entry.path, f"{below}/{entry.name}", label, listing)
            elif not entry.is_file():
                listing.dangling += 1
            elif suffix in pictures.SUFFIXES:
                listing.pictures.append((entry.path, f"{below}/{entry.name}", label))
            else:
                listing.others[suffix or "without a suffix"] += 1


def report(folder, listings, beside):
    """One line about what was skipped, if anything was."""
    parts = []
    others = sum((listing.others for _, listing in listings), collections.Counter())
    if others:
        kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in others.most_common(5))
        parts.append(f"{sum(others.values()):,} files of other kinds ({kinds})")
    if hidden := sum(listing.hidden for _, listing in listings):
        parts.append(f"{hidden:,} hidden")
    if dangling := sum(listing.dangling for _, listing in listings):
        parts.append(f"{dangling:,} pipes or links that lead to no file")
    empty = [name if root is folder else f"{root.name}/{name}" for root, listing in listings for name in listing.empty]
    if empty:
        parts.append(f"class folders without an image ({', '.join(empty)})")
    if beside:
        parts.append(f"folders beside train ({', '.join(beside)})")
    if parts:
        print(f"{folder}: skipped {'; '.join(parts)}.", file=sys.stderr)


# Splits


def dealt(rows, fractions, seed):
    """train, and a split for each of `fractions`, from `rows` (path, path below the root, class number)."""
    by_class = collections.defaultdict(list)
    for row in rows:
        by_class[row[2]].append((1.0 - place(row[1], seed), row))  # from the highest place down
    splits = {"train": []} | {split: [] for split in fractions}
    for members in by_class.values():
        members.sort()
        start, low = 0, 0.0
        for split, fraction in fractions.items():
            share = fraction * len(members)
            below = sum(low <= where < low + fraction for where, _ in members[start:])
            stop = start + bounded(below, share, len(members))
            splits[split] += [row for _, row in members[start:stop]]
            start, low = stop, low + fraction
        splits["train"] += [row for _, row in members[start:]]
    return splits


def bounded(count, share, total):
    """`count`, or the number nearest to it that is as near to `share` as it has to be."""
    slack = math.floor(SLACK * share)
    least, most = math.floor(share + 1e-9) - slack, math.ceil(share - 1e-9) + slack
    least = max(least, 1 if total > 2 else 0)  # of three images, one each
    return min(max(count, least), max(most, least))


def place(path, seed=0):
    """A number in [0, 1) that depends on the path's letters and the seed alone."""
    salt = f"{seed}:" if seed else ""
    return int.from_bytes(hashlib.sha256((salt + path).encode(errors="surrogateescape")).digest()[:8], "big") / 2**64
