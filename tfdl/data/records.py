"""Tables of texts and numbers as rows: split -> [{column: value}].

    rows = read("sst2", columns=("text", "label"))["train"]     # [{"text": "a stirring , ...", "label": "1"}, ...]

A name is one of these, and they are tried in this order:
- a tensorflow_datasets name whose set lies in the data directory, such as xquad/en.
- a file: .tsv (tabs, no quotes), .csv (commas, quotes as in RFC 4180) or .jsonl (an object on each line), in UTF-8,
  each of them also as .gz.  It is the split "train".
- a folder, or the beginning of file names, with such a file for each split: talk/train.tsv and talk/dev.tsv, or
  talk.train.tsv and talk.dev.tsv.  dev, val and valid mean validation.
- a folder with a sub-folder of files *.txt for each class, or with such folders in train/ and test/; the columns are
  "text" and "label".
- a folder that Hugging Face's `datasets` has saved; this needs that package.
- the same below the data directory, or below text/ in it: sst2 is TFDL_DATA_DIR/text/sst2.train.tsv and its siblings.
- another tensorflow_datasets name, if it may be downloaded.

The first line of a .tsv or .csv names the columns if each of its fields is a single word, starts with a letter, occurs
once, and never stands in its column again; otherwise the columns are "0", "1", ...  `columns` says that there is no
such line.  Values of .tsv and .csv are strings.  From JSON and other sets come strings and whole numbers, the names of
classes in place of their numbers, and of anything else its JSON text.  Blank lines are skipped.
"""

import csv
import difflib
import gzip
import io
import json
import pathlib
import re
import zlib

import numpy as np
import tensorflow_datasets as tfds

from tfdl.data import folders, sources

SUFFIXES = (".tsv", ".csv", ".jsonl")
SAVED = ("dataset_dict.json", "state.json")  # in a folder of Hugging Face's `datasets`: of several splits, or of one
SPELLINGS = {spelling: split for split, names in folders.SPLITS.items() for spelling in names}
UNLABELED = "unsup"  # a folder of the Large Movie Review Dataset (aclImdb) beside its classes neg and pos


def read(name, *, columns=None, data_dir=None, download=False):
    """The rows of every split that there is, in stored order.

    Args:
        columns: names for the columns of .tsv and .csv files that have no line with names.
        data_dir: where names are looked for; None is `sources.data_dir()`.
        download: allow tensorflow_datasets to fetch a missing set.

    Returns:
        dict: some of "train", "validation" and "test" -> a list of dicts with the same keys, the columns.

    Raises:
        FileNotFoundError: there is nothing of this name; the message says where it was looked for.
        ValueError: a file is damaged or has no rows; the message says which, and on what line.
        ImportError: the package `datasets` is needed.
    """
    name = str(name)
    path, folder = pathlib.Path(name).expanduser(), pathlib.Path(data_dir or sources.data_dir()).expanduser()
    base = name.split(":")[0]  # a name may carry a version, NAME:1.2.3
    if base not in sources.names_in(folder):
        for place in (path, folder / path, folder / "text" / path):  # the latter are `path` itself if it is absolute
            found = read_place(place, columns)
            if found:
                return found
    if base in sources.names_in(folder) or base.split("/")[0] in tfds.list_builders(with_community_datasets=False):
        return read_set(name, folder, download)
    near = difflib.get_close_matches(name, sorted({*names_in(folder), *sources.names_in(folder)}), n=3, cutoff=0.0)
    raise FileNotFoundError(
        f"There are no records {name!r}, neither here nor in {folder}: give a file {', '.join(SUFFIXES)}, the beginning"
        f" of such files' names (as in {path.name}.train.tsv), or a folder"
        + (f"; the nearest names are {', '.join(near)}." if near else ".")
    )


def names_in(folder):
    """What can be read below `folder`/text."""
    files = (parts(file) for file in sorted((folder / "text").glob("*")))
    return sorted({found[0] for found in files if found and found[0]})


def read_place(path, columns):
    """Split -> rows of a file, a folder, or the beginning of names; {} if there is no such thing."""
    if path.is_file():
        return {"train": read_file(path, columns)}
    if path.is_dir() and any((path / name).is_file() for name in SAVED):
        return read_saved(path)
    files = files_of_splits(path)
    if files:
        return {split: read_file(files[split], columns) for split in folders.SPLITS if split in files}
    return read_classes(path) if path.is_dir() else {}


# Files


def parts(path):
    """The beginning of a file's name, its split, and its kind: "sst2.val.tsv.gz" -> ("sst2", "validation", ".tsv").

    None for other files.
    """
    stem, kind = stem_and_suffix(path)
    match = re.fullmatch(rf"(?:(.+)[._-])?({'|'.join(SPELLINGS)})", stem, re.IGNORECASE)
    return (match[1] or "", SPELLINGS[match[2].lower()], kind) if match and kind in SUFFIXES else None


def stem_and_suffix(path):
    """("sst2.val", ".tsv") for sst2.val.tsv.gz."""
    path = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return path.stem, path.suffix.lower()


def files_of_splits(path):
    """Split -> its file, in the folder `path` or with names that begin with `path`."""
    folder, beginning = (path, None) if path.is_dir() else (path.parent, path.name)
    if not folder.is_dir():
        return {}
    found, beginnings = {}, set()
    for file in sorted(folder.iterdir()):
        begins, split, _ = parts(file) or (None, None, None)
        if split is None or beginning not in (None, begins) or not file.is_file():
            continue
        if begins not in beginnings and beginnings:
            raise ValueError(
                f"{folder} has files of several sets, {begins!r} and {beginnings.pop()!r} among them; add the beginning"
                " of the files' names to its path."
            )
        if split in found:
            raise ValueError(f"{found[split]} and {file.name} are both the split {split!r}; keep one of them.")
        beginnings.add(begins)
        found[split] = file
    return found


def files_by_split(path, suffixes):
    """Split -> its file with one of these suffixes; a file by itself is the training split.

    In a folder the first word of a file's name says its split, as in train-v1.1.json and dev.conll.
    """
    if path.suffix.lower() in suffixes:
        return {"train": path}
    found = {}
    for file in sorted(path.iterdir()) if path.is_dir() else ():
        split = SPELLINGS.get(re.split(r"[^a-z]", file.stem.lower())[0])
        if split is None or file.suffix.lower() not in suffixes or not file.is_file():
            continue
        if split in found:
            raise ValueError(f"{found[split]} and {file.name} are both the split {split!r}; keep one of them.")
        found[split] = file
    return found


def read_file(path, columns=None):
    """The rows of one file.  Raises ValueError as `read`."""
    kind = stem_and_suffix(path)[1]
    if kind not in SUFFIXES:
        raise ValueError(f"{path} is none of {', '.join(SUFFIXES)} (or one of these and .gz); convert it.")
    text = read_text(path)
    rows = read_objects(path, text) if kind == ".jsonl" else read_fields(path, text, kind, columns)
    if not rows:
        raise ValueError(f"{path} has no rows; give a file with some.")
    return rows


def read_text(path):
    """A UTF-8 file's text, unpacked if its name ends with .gz; a byte-order mark is left out."""
    content = path.read_bytes()
    if path.suffix.lower() == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path} cannot be unpacked ({error}); copy it again.") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line:,}, is no UTF-8; convert the file to UTF-8.") from error


def lines(text):
    """(number, line) of the lines that are not blank.  Not `str.splitlines`, which ends lines at U+2028 too."""
    numbered = enumerate(text.split("\n"), start=1)
    return [(number, line.removesuffix("\r")) for number, line in numbered if line.strip()]


def read_objects(path, text):
    """The rows of JSON lines."""
    rows = []
    for number, line in lines(text):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}, line {number:,}, is no JSON ({error}); correct or remove it.") from error
        if not isinstance(row, dict):
            raise ValueError(f"{path}, line {number:,}, is no JSON object; write {{column: value, ...}} on each line.")
        if rows and row.keys() != rows[0].keys():
            raise ValueError(
                f"{path}, line {number:,}, has the columns {', '.join(row)} where the first has {', '.join(rows[0])};"
                " give every row the same ones."
            )
        rows.append(row)
    return [{column: value_of(value) for column, value in row.items()} for row in rows]


def value_of(value):
    """A string or a whole number as it is; of anything else its JSON text."""
    if isinstance(value, (str, int)):
        return int(value) if isinstance(value, bool) else value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def read_fields(path, text, kind, columns):
    """The rows of a .tsv or .csv file."""
    table = read_unquoted(text) if kind == ".tsv" else read_quoted(path, text)
    if not table:
        return []
    names = list(columns or header(table) or map(str, range(len(table[0][1]))))
    if columns is None and names == table[0][1]:
        table = table[1:]
    for number, row in table:
        if len(row) != len(names):
            raise ValueError(
                f"{path}, line {number:,}, has {len(row)} fields where there are {len(names)} columns"
                f" ({', '.join(names)}); correct or remove it."
            )
    return [dict(zip(names, row)) for _, row in table]


def header(table):
    """The first row's fields if they are names of columns, else None."""
    first, *others = (row for _, row in table)
    are_names = all(re.fullmatch(r"[^\W\d][\w-]*", field) for field in first) and len(set(first)) == len(first)
    comes_again = any(name == field for row in others for name, field in zip(first, row))
    return first if are_names and not comes_again else None


def read_unquoted(text):
    """(line, fields) of the rows of a .tsv file."""
    return [(number, line.split("\t")) for number, line in lines(text)]


def read_quoted(path, text):
    """(line, fields) of the rows of a .csv file; a field in quotes may go on over several lines."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    table, number = [], 1
    try:
        for row in reader:
            if any(field.strip() for field in row):
                table.append((number, row))
            number = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}, line {number:,}, is no CSV ({error}); correct or remove it.") from error
    return table


# Folders of classes


def read_classes(folder):
    """Split -> rows of the files *.txt in class sub-folders; {} if there are none."""
    roots = folders.split_folders(folder) or {"train": folder}
    splits = {}
    for split, root in roots.items():
        labels = [label for label in folders.subfolders(root) if label != UNLABELED]
        rows = [
            {"text": read_text(file).removesuffix("\n"), "label": label}
            for label in labels
            for file in sorted((root / label).glob("*.txt"))
        ]
        if rows:
            splits[split] = rows
    return splits


# Sets of libraries


def read_saved(folder):
    """Split -> rows of a folder that Hugging Face's `datasets` has saved."""
    try:
        import datasets
    except ImportError:
        raise ImportError(
            f"{folder} is a set of Hugging Face's package datasets: pip install 'tfdl[datasets]'."
        ) from None
    loaded = datasets.load_from_disk(str(folder))
    tables = loaded if isinstance(loaded, dict) else {"train": loaded}
    return {
        SPELLINGS[key]: [named(row, table.features) for row in table]
        for key, table in tables.items()
        if key in SPELLINGS
    }


def read_set(name, folder, download):
    """Split -> rows of a tensorflow_datasets set with texts."""
    info, datasets = sources.tfds_splits(name, folder, download)
    features = dict(info.features.items())
    pictures = (tfds.features.Image, tfds.features.Video, tfds.features.Audio)
    if not any(isinstance(feature, tfds.features.Text) for feature in features.values()) or any(
        isinstance(feature, pictures) for feature in features.values()
    ):
        raise ValueError(
            f"The set {name!r} has the features {', '.join(features)}; records are texts and numbers, without pictures"
            " or sounds."
        )
    return {
        split: [named(plain(row), features) for row in datasets[split].as_numpy_iterator()]
        for split in folders.SPLITS
        if split in datasets
    }


def named(row, features):
    """The row with the names of classes for their numbers, which are negative where a class is not known."""

    def value(feature, value):
        is_class = hasattr(feature, "int2str") and isinstance(value, int) and value >= 0
        return feature.int2str(value) if is_class else value_of(value)

    return {column: value(features[column], item) for column, item in row.items()}


def plain(value):
    """Python's strings, numbers, lists and dicts for NumPy's."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()]
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return value.decode() if isinstance(value, bytes) else value
