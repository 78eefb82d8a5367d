"""How good answers to questions are, by the rules of SQuAD: equal to one that people gave, or sharing words with it.

Paper: Rajpurkar et al. 2016, arXiv:1606.05250, section 6.1; questions without an answer: Rajpurkar et al. 2018,
arXiv:1806.03822, section 5.
Shapes: B batch, T tokens.
"""

import collections
import re
import string

import keras
from keras import ops

from tfdl.core.batches import PADDING
from tfdl.core.serial import serializable

PUNCTUATION = str.maketrans("", "", string.punctuation)


def words_of(answer):
    """The words that are compared: in lower case, without punctuation and without a, an and the."""
    return re.sub(r"\b(a|an|the)\b", " ", answer.lower().translate(PUNCTUATION)).split()


def exact_match(answer, reference):
    """1.0 if both have the same words in the same order, else 0.0."""
    return float(words_of(answer) == words_of(reference))


def f1(answer, reference):
    """Harmonic mean of precision and recall of the words, each counted as often as it occurs.

    Of a text without words, which says that there is no answer: 1.0 if the other has none either, else 0.0.
    """
    found, wanted = words_of(answer), words_of(reference)
    if not found or not wanted:
        return float(found == wanted)
    shared = sum((collections.Counter(found) & collections.Counter(wanted)).values())
    return 2 * shared / (len(found) + len(wanted))


def answer_scores(answers, references):
    """{"exact_match", "f1"}, means over the questions, each of the reference that is nearest to the answer.

    Args:
        answers: a text for each question.
        references: for each question the texts that people gave; none, or empty ones, where it has no answer.

    Raises:
        ValueError: not as many answers as questions, or none.
    """
    if not answers or len(answers) != len(references):
        raise ValueError(f"There are {len(answers)} answers to {len(references)} questions; give one to each.")
    means = {}
    for name, score in (("exact_match", exact_match), ("f1", f1)):
        best = [
            max(score(answer, reference) for reference in (texts or ("",)))
            for answer, texts in zip(answers, references)
        ]
        means[name] = sum(best) / len(best)
    return means


@serializable
class SpanAccuracy(keras.metrics.Mean):
    """Share of the rows whose likeliest first token and likeliest last token are both right."""

    def __init__(self, name="span_accuracy", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Targets (B, T, 2), 1 at the right tokens and PADDING where none can be; logits (B, T, 2)."""
        possible = ops.where(ops.equal(y_true, PADDING), -float("inf"), ops.cast(y_pred, "float32"))
        chosen = ops.take_along_axis(y_true, ops.argmax(possible, axis=1)[:, None], axis=1)[:, 0]  # (B, 2)
        return super().update_state(ops.all(ops.equal(chosen, 1), axis=-1), sample_weight=sample_weight)
