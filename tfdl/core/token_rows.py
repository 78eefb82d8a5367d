"""Texts as rows of token numbers by a tokenizer.json, the same in training and in prediction.

tokenizer = read_tokenizer("runs/sst2_gru/tokenizer.json")
rows = encode(tokenizer, ["a stirring film", "no"], length=64)    # with the special tokens around each text
tokens = padded([row for row, _ in rows], length=64)              # (2, 16) int32
"""

import json
import re
from pathlib import Path

import numpy as np
import tokenizers

MULTIPLE = 16  # sizes of batches are multiples of it, so that few shapes are compiled


def read_tokenizer(file):
    """The `tokenizers.Tokenizer` in a tokenizer.json.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged.
    """
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(f"There is no tokenizer {file}; copy it from the folder of the run.")
    try:
        return tokenizers.Tokenizer.from_str(file.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises bare Exceptions
        raise ValueError(f"{file} is no tokenizer, or is damaged: {error}") from error


def encode(tokenizer, texts, length):
    """[(tokens, whether it was cut)] of texts, at most `length` tokens each, with special tokens around them.

    Special tokens that are written in a text count as letters.  What no UTF-8 can hold becomes a question mark.
    """
    tokenizer.encode_special_tokens = True
    tokenizer.no_padding()
    tokenizer.enable_truncation(length)
    try:
        rows = tokenizer.encode_batch(list(map(readable, texts)))
    finally:
        tokenizer.no_truncation()
    return [(np.array(row.ids, "int32"), bool(row.overflowing)) for row in rows]


def encode_words(tokenizer, sentences, length):
    """[(tokens, places)] of sentences, lists of words: at most `length` tokens each, special ones around them.

    `places` are those of the first token of each word, as many as fit.  A word without a token, such as a control
    character, has the place of the next one.
    """
    tokenizer.encode_special_tokens = True
    tokenizer.no_padding()
    tokenizer.enable_truncation(length)
    spaced = isinstance(tokenizer.pre_tokenizer, tokenizers.pre_tokenizers.ByteLevel)  # words with the space before
    try:
        rows = tokenizer.encode_batch(
            [
                [readable(f" {word}" if spaced and number else word) for number, word in enumerate(words)]
                for words in sentences
            ],
            is_pretokenized=True,
        )
    finally:
        tokenizer.no_truncation()
    return [(np.array(row.ids, "int32"), first_places(row, len(words))) for row, words in zip(rows, sentences)]


def first_places(row, count):
    """Place of the first token of each of `count` words in an encoding, as many as fit.  -> (W,) int32"""
    numbers = np.array([-1 if number is None else number for number in row.word_ids])
    known = np.flatnonzero(numbers >= 0)
    if not len(known):
        return np.zeros(0, "int32")
    fitting = count if not row.overflowing else numbers[known[-1]] + 1
    places = known[np.searchsorted(numbers[known], np.arange(fitting)).clip(max=len(known) - 1)]
    return places.astype("int32")


def readable(text):
    """The text with a question mark for what no UTF-8 can hold, as half of a pair of surrogates."""
    return text.encode(errors="replace").decode()


def padded(rows, length, padding=0):
    """Rows of tokens as one array (B, T) int32, where T is the next multiple of `MULTIPLE`, but at most `length`."""
    size = min(length, MULTIPLE * -(-max(1, *map(len, rows)) // MULTIPLE))
    tokens = np.full((len(rows), size), padding, "int32")
    used = np.arange(size) < np.array([len(row) for row in rows])[:, None]
    tokens[used] = np.concatenate(rows)
    return tokens


def byte_letters():
    """{letter: byte}: the letters that stand for bytes in GPT-2's vocabulary, Radford et al. 2019, section 2.2."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(256 + i): byte for i, byte in enumerate(others)}


def pieces_as_bytes(tokenizer):
    """{number: the bytes that the token adds to a text} of a `tokenizers.Tokenizer`; none for special tokens.

    Raises:
        ValueError: what a token adds depends on its neighbors, as in WordPiece.
    """
    facts = json.loads(tokenizer.to_str())
    decoder = facts["decoder"] or {"type": "none"}
    kinds = {row["type"] for row in decoder.get("decoders", [decoder])}
    special = {token["id"] for token in facts["added_tokens"] if token["special"]}
    if facts["model"]["type"] == "WordLevel":
        special |= {number for piece, number in tokenizer.get_vocab().items() if re.fullmatch(r"\[[A-Z]+\]", piece)}
    letters = byte_letters()
    pieces = {}
    for piece, number in tokenizer.get_vocab().items():
        if number in special:
            continue
        if "ByteLevel" in kinds:
            pieces[number] = (
                bytes(letters[letter] for letter in piece) if set(piece) <= set(letters) else piece.encode()
            )
        elif "ByteFallback" in kinds and (found := re.fullmatch(r"<0x([0-9A-F]{2})>", piece)):
            pieces[number] = bytes([int(found[1], 16)])
        elif kinds & {"Metaspace", "Replace", "ByteFallback"}:
            pieces[number] = piece.replace("▁", " ").encode()
        elif "Fuse" in kinds:
            pieces[number] = piece.encode()
        else:
            raise ValueError(
                f"What a token of this tokenizer adds to a text depends on its neighbors (its decoder is"
                f" {', '.join(sorted(kinds))}); use one of characters, bytes, byte pairs or SentencePiece."
            )
    return pieces
