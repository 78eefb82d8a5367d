"""Questions with their paragraphs as rows of token numbers, the same in training and in prediction.

    rows = windows(tokenizer, ["Who wrote it?"], ["It was written by ..."], length=128)

A row is the question and as much of the paragraph as fits, with special tokens around both.  A longer paragraph gives
several rows, its windows; each begins with a third of a row that the one before has too, so that an answer at a border
stands in one of them whole (Devlin et al. 2018, arXiv:1810.04805, section 4.2, and the authors' program).
Shapes: T tokens.
"""

from dataclasses import dataclass

import numpy as np

from tfdl.core.token_rows import readable

PART = 3  # a third of a row: the most of a question, and what two windows share
SHORTEST = 16  # tokens of a row


@dataclass(frozen=True, eq=False)
class Window:
    """One row.

    Attributes:
        example: number of the question.
        tokens: (T,) int32.
        segments: (T,) int32, 1 from the paragraph on where the model tells the two texts apart.
        first, last: where the tokens of the paragraph begin, and the place behind them; equal if there are none.
        offsets: (last - first, 2) int32, where each of these begins and ends in the paragraph, in characters.
    """

    example: int
    tokens: np.ndarray
    segments: np.ndarray
    first: int
    last: int
    offsets: np.ndarray

    def place(self, start, stop):
        """Places of the first and the last token of the characters start ... stop - 1; None if not all are here."""
        if not len(self.offsets) or start < self.offsets[0, 0] or stop > self.offsets[-1, 1]:
            return None
        touched = np.flatnonzero((self.offsets[:, 1] > start) & (self.offsets[:, 0] < stop))
        return (self.first + int(touched[0]), self.first + int(touched[-1])) if len(touched) else None

    def characters(self, begin, end):
        """Where the text of the tokens at the places begin ... end begins and ends in the paragraph."""
        return int(self.offsets[begin - self.first, 0]), int(self.offsets[end - self.first, 1])


def windows(tokenizer, questions, paragraphs, length):
    """The `Window`s of all questions, in their order.

    Special tokens that are written in a text count as letters.

    Args:
        tokenizer: a `tokenizers.Tokenizer` that stands special tokens around two texts.
        questions, paragraphs: as many texts.  The end of a question of more than a third of a row is left out.
        length: the most tokens of a row.

    Raises:
        ValueError: `length` is below SHORTEST, or the tokenizer has no special tokens for pairs.
    """
    if length < SHORTEST:
        raise ValueError(f"length is {length}; a question and a part of its paragraph need {SHORTEST} or more.")
    if tokenizer.num_special_tokens_to_add(True) < 2:
        raise ValueError(
            "The tokenizer stands no special tokens around two texts; take the one of a BERT or a RoBERTa, or None."
        )
    tokenizer.encode_special_tokens = True
    tokenizer.no_padding()
    tokenizer.no_truncation()
    asked = [readable(question) for question in questions]
    asked = [shortened(tokenizer, question, length // PART) for question in asked]
    tokenizer.enable_truncation(length, stride=length // PART, strategy="only_second")
    try:
        rows = tokenizer.encode_batch(list(zip(asked, map(readable, paragraphs), strict=True)))
    finally:
        tokenizer.no_truncation()
    return [window(example, part) for example, row in enumerate(rows) for part in (row, *row.overflowing)]


def shortened(tokenizer, question, most):
    """The question without what is more than so many tokens."""
    row = tokenizer.encode(question, add_special_tokens=False)
    return question if len(row.ids) <= most else question[: row.offsets[most - 1][1]]


def window(example, row):
    """A `Window` of an encoding of `tokenizers`."""
    own = [place for place, sequence in enumerate(row.sequence_ids) if sequence == 1]
    first, last = (own[0], own[-1] + 1) if own else (0, 0)
    return Window(
        example,
        np.array(row.ids, "int32"),
        np.array(row.type_ids, "int32"),
        first,
        last,
        np.array(row.offsets[first:last], "int32").reshape(-1, 2),
    )
