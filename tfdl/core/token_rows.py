"""Texts as rows of token numbers by a tokenizer.json, the same in training and in prediction.

tokenizer = read_tokenizer("runs/sst2_gru/tokenizer.json")
rows = encode(tokenizer, ["a stirring film", "no"], length=64)    # with the special tokens around each text
tokens = padded([row for row, _ in rows], length=64)              # (2, 16) int32
"""

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
