"""Words for masks: logits of every token at each [MASK] -> the most probable words, as a table, JSON and CSV.

Paper: Devlin et al. 2018, arXiv:1810.04805, section 3.1.  `classification` says what a file of answers has.
Shapes: V vocabulary.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from tfdl.core.token_rows import padded
from tfdl.inference.classification import log_softmax
from tfdl.inference.inputs import Broken

UNIT = "texts"
WIDEST = 60  # characters of a text in a table
MASKS = ("[MASK]", "<mask>")  # as BERT's and RoBERTa's vocabularies write it; in a text either of them


@dataclass(frozen=True, kw_only=True, eq=False)
class Filled:
    """What a model puts in the place of each mask of a text.

    Attributes:
        probabilities: for each mask (V,) float32.
        words: number of a token -> its letters.
    """

    text: str
    probabilities: tuple[np.ndarray, ...]
    words: object

    def top(self, count=5):
        """For each mask [(word, probability)], the best first."""
        return [
            [(self.words(int(number)), float(row[number])) for number in np.argsort(-row, kind="stable")[:count]]
            for row in self.probabilities
        ]

    def __repr__(self):
        return f"<{self.text}: {', '.join(row[0][0] for row in self.top(1))}>"


class Reader:
    """Fills in masks.

    Raises:
        ValueError: the network gives no logits for each token of the vocabulary.
    """

    def __init__(self, task, backend):
        (shape,) = backend.outputs.values()
        if len(shape) != 2 or shape[-1] is None:
            raise ValueError(f"A model of masked words gives (B, T, V), but this one gives (B, {shape}).")
        self.task = task

    def __call__(self, tokenizer, model, texts):
        """A `Filled` for each text, or `Broken` for one without a mask; `model` takes tokens (B, T)."""
        mask = next((token for token in MASKS if tokenizer.token_to_id(token) is not None), None)
        if mask is None:
            raise ValueError(f"The tokenizer has no {' or '.join(MASKS)}, so there is nothing to fill in.")
        rows = encoded(tokenizer, texts, mask, self.task.length)
        logits = model(padded(rows, self.task.length, self.task.padding))
        return [
            self.filled(text, row, scores, tokenizer, tokenizer.token_to_id(mask))
            for text, row, scores in zip(texts, rows, logits)
        ]

    def filled(self, text, tokens, logits, tokenizer, mask):
        places = np.flatnonzero(tokens == mask)
        if not len(places):
            is_cut = any(written in text for written in MASKS)
            return Broken(
                text, f"its mask is behind {self.task.length} tokens" if is_cut else f"no {MASKS[0]} is in it"
            )
        probabilities = tuple(np.exp(log_softmax(logits[places].astype("float32"))))
        return Filled(text=text, probabilities=probabilities, words=lambda number: word_of(tokenizer, number))


def encoded(tokenizer, texts, mask, length):
    """Token numbers of texts, with special tokens around them; masks are one token each, other special ones letters."""
    parts = [spelled(text).split(MASKS[0]) for text in texts]
    start, *_, end = tokenizer.encode("").ids
    rows = []
    tokenizer.encode_special_tokens = True
    for pieces in parts:
        tokens = [start]
        for number, piece in enumerate(pieces):
            is_last = number == len(pieces) - 1
            tokens += [] if number == 0 else [tokenizer.token_to_id(mask)]
            tokens += tokenizer.encode(piece if is_last else piece.rstrip(" "), add_special_tokens=False).ids
        rows.append(np.array([*tokens[: length - 1], end], "int32"))
    return rows


def spelled(text):
    """The text with BERT's word for every mask, and a question mark for what no UTF-8 can hold."""
    return text.replace(MASKS[1], MASKS[0]).encode(errors="replace").decode()


def word_of(tokenizer, number):
    """The letters of a token, without the space before it; its name in the vocabulary if it is no whole letter."""
    letters = tokenizer.decode([number]).strip()
    return letters if letters and "\ufffd" not in letters else tokenizer.id_to_token(number) or ""


def title(result):
    """The beginning of the text."""
    return result.text if len(result.text) <= WIDEST else result.text[: WIDEST - 1] + "…"


def cells(result, top):
    """["cat", "97.1 %", ...], of one mask after the other"""
    pairs = itertools.chain.from_iterable(result.top(top))
    return list(itertools.chain.from_iterable((word, f"{100 * share:.1f} %") for word, share in pairs))


def record(result, top):
    """{"text", "masks": [[{"word", "probability"}]]}, the best first."""
    masks = [[{"word": word, "probability": share} for word, share in row] for row in result.top(top)]
    return {"text": result.text, "masks": masks}


def header(top):
    return ["text", *(f"{name}_{i}" for i in range(1, top + 1) for name in ("word", "probability"))]


def row(result, top):
    """A text is a row; what belongs to several masks stands in one cell, with | between."""
    ranks = zip(*result.top(top))  # of each rank a pair for each mask
    shown = (("|".join(word for word, _ in pairs), "|".join(f"{share:.6g}" for _, share in pairs)) for pairs in ranks)
    return [result.text, *itertools.chain.from_iterable(shown)]
