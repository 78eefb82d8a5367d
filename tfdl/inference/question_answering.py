"""Answers to questions on paragraphs: logits of first and last tokens -> the best spans, as a table, JSON and CSV.

    answers = ask(model, data, "test")                      # an `Answer` to each question of a split
    answers = best_answers(windows, logits, paragraphs)     # of each question the spans, the best first

The score of a span is the logit of its first token plus that of its last one; of a paragraph of several windows the
best span of all of them counts.  Where a model may abstain, "no answer" has the score of [CLS], the first token of all,
in the window where it is least.  Probabilities are the softmax over the spans that are kept.

Paper: Devlin et al. 2018, arXiv:1810.04805, sections 4.2 and 4.3, and the authors' program for the limits.
Shapes: T tokens.  `classification` says what a file of answers has.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfdl.core.answer_windows import Window, windows
from tfdl.core.token_rows import padded

UNIT = "questions"
WIDEST = 60  # characters of a question in a table
LONGEST = 30  # tokens of an answer
KEPT = 20  # spans of a question
ROWS = 32  # windows in a batch: a paragraph may have many


@dataclass(frozen=True)
class Span:
    """A piece of a paragraph: its text, where it begins, in characters, and its probability.

    "" and None mean that there is no answer.
    """

    text: str
    start: int | None
    probability: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model answers to a question on a paragraph.

    Attributes:
        spans: up to KEPT, the most probable first; none if the paragraph has no words.
    """

    question: str
    paragraph: str
    spans: tuple[Span, ...]

    @property
    def answer(self):
        """The text of the best span; "" for no answer."""
        return self.spans[0].text if self.spans else ""

    @property
    def probability(self):
        return self.spans[0].probability if self.spans else 1.0

    def __repr__(self):
        return f"<{self.question}: {self.answer or 'no answer'} {self.probability:.1%}>"


def ask(model, data, split, limit=None):
    """What a network answers to the questions of a split, or to the first so many: a list of `Answer`s.

    Args:
        model: {"tokens": (B, T), "segments": (B, T)} -> logits (B, T, 2).
        data: has `questions`, `tokenizer` and `task`, as `QuestionData`.
    """
    shape = tf.TensorSpec((None, None), tf.int32)

    @tf.function(input_signature=[shape, shape])
    def forward(tokens, segments):
        return model({"tokens": tokens, "segments": segments}, training=False)

    pairs = [(question.text, question.paragraph) for question in data.questions[split][:limit]]
    return answered(lambda *rows: forward(*rows).numpy(), data.tokenizer.tokenizer, pairs, data.task)


def answered(model, tokenizer, pairs, task):
    """`Answer`s to pairs (question, paragraph), by a function of tokens and segments (B, T)."""
    questions, paragraphs = zip(*pairs)
    rows, logits = windows(tokenizer, questions, paragraphs, task.length), []
    for start in range(0, len(rows), ROWS):
        batch = rows[start : start + ROWS]
        tokens = padded([row.tokens for row in batch], task.length, task.padding)
        logits += list(model(tokens, padded([row.segments for row in batch], task.length)))
    spans = best_answers(rows, logits, paragraphs, abstains=task.abstains)
    return [Answer(question=q, paragraph=p, spans=found) for (q, p), found in zip(pairs, spans)]


def best_answers(
    windows: Sequence[Window], logits: Sequence[np.ndarray], paragraphs: Sequence[str], *, abstains: bool = False
):
    """For each paragraph its `Span`s, the best first.

    Args:
        windows: of `answer_windows`, whose examples are numbers of paragraphs.
        logits: (T, 2) for each window, of the first and of the last token; T may be more than the window has.
        paragraphs: of the questions.
        abstains: "no answer" is an answer too.
    """
    scores = [{} for _ in paragraphs]  # (start, stop) in the paragraph -> score
    nothing = [np.inf for _ in paragraphs]
    for window, rows in zip(windows, logits, strict=True):
        nothing[window.example] = min(nothing[window.example], float(rows[0].sum()))
        known = scores[window.example]
        for begin, end, score in best_spans(rows[window.first : window.last]):
            place = window.characters(window.first + begin, window.first + end)
            known[place] = max(score, known.get(place, -np.inf))
    if abstains:
        for known, score in zip(scores, nothing):
            known[None] = score
    return [ranked(known, paragraph) for known, paragraph in zip(scores, paragraphs)]


def best_spans(logits, count=KEPT, longest=LONGEST):
    """The `count` best spans of at most `longest` tokens: [(first, last, score)] of logits (T, 2)."""
    size = len(logits)
    table = logits[:, 0, None] + logits[None, :, 1]  # (T, T): first token by last token
    places = np.arange(size)
    length = places[None] - places[:, None] + 1
    table = np.where((length >= 1) & (length <= longest), table, -np.inf).ravel()
    order = np.argsort(-table, kind="stable")[:count]
    return [(*divmod(int(place), size), float(table[place])) for place in order if np.isfinite(table[place])]


def ranked(scores, paragraph):
    """{(start, stop) or None: score} -> `Span`s, the best first."""
    best = sorted(scores.items(), key=lambda item: -item[1])[:KEPT]
    if not best:
        return ()
    values = np.array([score for _, score in best])
    shares = np.exp(values - values.max())
    shares /= shares.sum()
    return tuple(span_of(place, float(share), paragraph) for (place, _), share in zip(best, shares))


def span_of(place, probability, paragraph):
    if place is None:
        return Span("", None, probability)
    text = paragraph[slice(*place)]
    return Span(text.strip(), place[0] + len(text) - len(text.lstrip()), probability)


class Reader:
    """Checks that a network points at tokens, and turns its logits to `Answer`s.

    Raises:
        ValueError: the network gives something else.
    """

    def __init__(self, task, backend):
        (shape,) = backend.outputs.values()
        if len(shape) != 2 or shape[-1] != 2:
            raise ValueError(f"A model that points at answers gives (B, T, 2), but this one gives (B, {shape}).")
        self.task = task

    def __call__(self, tokenizer, model, pairs):
        """`Answer`s to pairs (question, paragraph); `model` takes tokens and segments, (B, T) each."""
        return answered(model, tokenizer, pairs, self.task)


def title(result):
    """The beginning of the question."""
    return result.question if len(result.question) <= WIDEST else result.question[: WIDEST - 1] + "…"


def cells(result, top):
    """["in 1066", "97.1 %", ...]"""
    shown = ((span.text or "(no answer)", f"{100 * span.probability:.1f} %") for span in result.spans[:top])
    return list(itertools.chain.from_iterable(shown))


def record(result, top):
    """{"question", "answers": [{"text", "start", "probability"}]}, the best first; "" and null are no answer."""
    spans = [{"text": span.text, "start": span.start, "probability": span.probability} for span in result.spans[:top]]
    return {"question": result.question, "answers": spans}


def header(top):
    return ["question", *(f"{name}_{i}" for i in range(1, top + 1) for name in ("answer", "probability"))]


def row(result, top):
    filled = list(itertools.chain.from_iterable((s.text, f"{s.probability:.6g}") for s in result.spans[:top]))
    return [result.question, *filled, *[""] * (2 * top - len(filled))]
