"""Tags of words: logits of every token -> the tag of each word, as a table, JSON and CSV.

    tags = tag(model, data, "test")        # the tags of each sentence of a split

A text is split into words and signs as in training; a word of several tokens has the tag of the first one.
`classification` says what a file of answers has.
"""

import re
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfdl.core.token_rows import encode_words, padded
from tfdl.inference.classification import log_softmax

UNIT = "texts"
WIDEST = 60  # characters of a text in a table
ROWS = 64  # sentences in a batch


@dataclass(frozen=True, kw_only=True)
class Tagged:
    """The tags of a text's words, and their probabilities.  Words behind the tokens that a model sees have none."""

    text: str
    words: tuple[str, ...]
    tags: tuple[str, ...]
    probabilities: tuple[float, ...]

    def __repr__(self):
        return f"<{' '.join(f'{word}/{tag}' for word, tag in zip(self.words, self.tags))}>"


class Reader:
    """Tags words.

    Raises:
        ValueError: the network gives something else than logits for each token, or has another number of tags.
    """

    def __init__(self, task, backend):
        (shape,) = backend.outputs.values()
        if len(shape) != 2 or shape[-1] != len(task.labels):
            tags = len(task.labels)
            raise ValueError(f"A tagger with {tags} tags gives (B, T, {tags}), but this one gives (B, {shape}).")
        self.task = task

    def __call__(self, tokenizer, model, texts):
        """A `Tagged` for each text, or for each sequence of words; `model` takes tokens (B, T)."""
        return tagged(model, tokenizer, texts, self.task)


def tag(model, data, split):
    """The tags that a network gives the sentences of a split: a tuple for each.

    Args:
        model: tokens (B, T) -> logits (B, T, C).
        data: has `sentences`, `tokenizer` and `task`, as `TaggedTexts`.
    """

    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.int32)])
    def forward(tokens):
        return model(tokens, training=False)

    sentences = [sentence.words for sentence in data.sentences[split]]
    batches = (sentences[start : start + ROWS] for start in range(0, len(sentences), ROWS))
    found = (
        tagged(lambda tokens: forward(tokens).numpy(), data.tokenizer.tokenizer, rows, data.task) for rows in batches
    )
    return [result.tags for results in found for result in results]


def tagged(model, tokenizer, texts, task):
    """`Tagged` of each text, or of each sequence of words, by a function of tokens (B, T)."""
    sentences = [words_of(text) if isinstance(text, str) else list(text) for text in texts]
    rows = encode_words(tokenizer, sentences, task.length)
    logits = model(padded([tokens for tokens, _ in rows], task.length, task.padding))
    results = []
    for text, words, (_, places), scores in zip(texts, sentences, rows, logits):
        probabilities = np.exp(log_softmax(scores[places].astype("float32")))  # (W, C)
        results.append(
            Tagged(
                text=text if isinstance(text, str) else " ".join(text),
                words=tuple(words[: len(places)]),
                tags=tuple(task.labels[number] for number in probabilities.argmax(-1)),
                probabilities=tuple(map(float, probabilities.max(-1))),
            )
        )
    return results


def words_of(text):
    """Words, and every sign by itself."""
    return re.findall(r"\w+|[^\w\s]", text)


def title(result):
    """The beginning of the text."""
    return result.text if len(result.text) <= WIDEST else result.text[: WIDEST - 1] + "…"


def cells(result, top):
    """["a/lower cat/lower ..."]"""
    return [" ".join(f"{word}/{tag}" for word, tag in zip(result.words, result.tags))]


def record(result, top):
    """{"text", "words": [{"word", "tag", "probability"}]}"""
    rows = zip(result.words, result.tags, result.probabilities)
    return {
        "text": result.text,
        "words": [{"word": word, "tag": tag, "probability": share} for word, tag, share in rows],
    }


def header(top):
    return ["text", "tags"]


def row(result, top):
    return [result.text, " ".join(result.tags)]
