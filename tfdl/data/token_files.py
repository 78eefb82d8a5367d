"""Texts larger than memory: turned into token numbers once, a piece at a time, and read from a file where needed.

    files = files_of("/path/to/texts")            # *.txt and *.jsonl, in the order of their names
    tokens = tokenized(files, tokenizer)          # (N,) uint16 or uint32, mapped from a file

The file lies in the folder `cache()`, under a name that depends on the texts' paths, sizes and times and on the
tokenizer, so that a second run finds it.  Pieces end where lines do: a tokenizer of pieces of words that joins several
line ends into one token may see some of them apart.
"""

import hashlib
import itertools
import json
import os
import tempfile
from pathlib import Path

import numpy as np

SUFFIXES = (".txt", ".jsonl")
PIECE = 1 << 20  # characters that are in memory at once, or one line


def cache():
    """The folder for token files: tfdl/tokens in XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tfdl" / "tokens"


def files_of(name):
    """The text files of a folder and of all folders in it, or a file by itself; [] if there is nothing of the kind."""
    path = Path(name).expanduser()
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    return [path] if path.suffix in SUFFIXES and path.is_file() else []


def pieces(files):
    """The texts of the files, joined by line breaks, in pieces of at least PIECE characters.

    Of a file .jsonl, the "text" of each line is a text.

    Raises:
        ValueError: a file is no UTF-8 text, or a line no object with a "text"; the message names it.
    """
    held, size = [], 0
    for number, file in enumerate(files):
        held.append("\n" if number else "")
        for text in texts_of(file):
            held.append(text)
            size += len(text)
            if size >= PIECE:
                yield "".join(held)
                held, size = [], 0
    yield "".join(held)


def texts_of(file):
    """The lines of a file with their ends, or the texts of a .jsonl with line breaks between."""
    try:
        with open(file, encoding="utf-8-sig") as lines:
            if file.suffix != ".jsonl":
                yield from lines
                return
            texts = (text_in(line, f"{file}, line {number:,}") for number, line in enumerate(lines, 1) if line.strip())
            for number, text in enumerate(texts):
                yield f"\n{text}" if number else text
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no UTF-8 text (byte {error.start:,}); convert it to UTF-8.") from error


def text_in(line, where):
    try:
        text = json.loads(line)["text"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise ValueError(f'{where}, is no JSON object with a "text" ({error}); correct or remove it.') from error
    if not isinstance(text, str):
        raise ValueError(f'{where}, has the "text" {text!r}; write a text.')
    return text


def tokenized(files, tokenizer, folder=None):
    """All tokens of the texts, in order, as an array that is mapped from a file and takes no memory.  -> (N,)

    Args:
        files: of `files_of`.
        tokenizer: see `tokenizers`.
        folder: for the token file; None is `cache()`.

    Raises:
        ValueError: see `pieces`.
        OSError: the file cannot be written.
    """
    folder = Path(folder or cache())
    kind = np.dtype("uint16" if len(tokenizer) <= 1 << 16 else "uint32")
    place = folder / f"{fingerprint(files, tokenizer)}.{kind.name}"
    if not place.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as part:
            try:
                for piece in pieces(files):
                    part.write(tokenizer.encode(piece).astype(kind).tobytes())
                part.close()
                os.replace(part.name, place)  # whole or not at all
            except BaseException:
                os.unlink(part.name)
                raise
    if not place.stat().st_size:
        return np.zeros(0, kind)
    return np.memmap(place, kind, mode="r")


def fingerprint(files, tokenizer):
    """Letters that change with the files and with the tokenizer."""
    marks = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    is_sentence_piece = not hasattr(tokenizer, "tokenizer")
    kind = tokenizer.processor.serialized_model_proto().hex() if is_sentence_piece else tokenizer.tokenizer.to_str()
    return hashlib.sha256(json.dumps([marks, kind]).encode()).hexdigest()[:32]


def characters(files, fraction):
    """All characters that occur in the first `fraction` of the texts, sorted."""
    count = round(fraction * sum(len(piece) for piece in pieces(files)))
    known, seen = set(), 0
    for piece in pieces(files):
        known |= set(itertools.islice(piece, max(0, count - seen)))
        seen += len(piece)
    return "".join(sorted(known))
