"""Pairs of answers as batches: for reward models and DPO.

    data = load("judged.jsonl", tokenizer=tokenizer, template="chatml", length=64, batch_size=32)
    learner = DPO(network, frozen_copy(network))
    learner.fit(data.train, validation_data=data.validation)

Pairs come from a file, see `conversations`, or from rules, see `written_rules`.  The order is a pure function of (seed,
epoch, step), see `order`.

Source: Ouyang et al. 2022, arXiv:2203.02155, section 3.5.
Shapes: B pairs, T tokens, padded to a multiple of MULTIPLE.
"""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfdl.core import static
from tfdl.core.chat_templates import ASSISTANT, ChatTemplate, chat_task, template_of
from tfdl.data import conversations
from tfdl.data.conversations import Preference
from tfdl.data.instructions import check_numbers, short_name, with_special
from tfdl.data.order import Order, finalized, of_run
from tfdl.data.text_pairs import padded, table
from tfdl.data.tokenizers import Pieces

FIELDS = ("chosen", "chosen_answered", "rejected", "rejected_answered")


@dataclass(frozen=True, eq=False)
class PreferenceData:
    """Pairs, ready for `fit`: a dict of FIELDS, each (B, T) int32.

    "chosen" and "rejected" are whole conversations; "..._answered" is 1 at the tokens of the last answer, the end of
    its turn included, which are what is judged.
    """

    name: str
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    tokenizer: Pieces
    template: ChatTemplate
    length: int
    counts: dict[str, int]  # split -> pairs
    note: str  # which were left out, for the header
    position: tf.Variable
    pairs: dict[str, tuple[Preference, ...]]  # split -> its pairs

    @property
    def short_name(self):
        """For folders of runs and titles."""
        return short_name(self.name)

    def judge(self, prompt, answer):
        """The tokens of a prompt with an answer, and 1 at those of the answer: two of (T,) int32."""
        return judged(self.template, self.tokenizer, prompt, answer)

    @property
    def task(self):
        """What a policy that is taught by these pairs does."""
        return chat_task(self.template, self.tokenizer, self.length)


def load(
    pairs,
    *,
    tokenizer,
    template="chatml",
    length=64,
    batch_size=32,
    name="pairs",
    run=None,
    seed=0,
    position=None,
    limit=None,
):
    """Pairs of a file, or those that are given.

    Args:
        pairs: name of a set, see `conversations.read`, or a dict split -> `Preference`s.
        tokenizer: of the policy: a file, a folder or `Pieces`.
        template: a key of `chat_templates.TEMPLATES` or a `ChatTemplate`.
        length: the most tokens of a conversation; pairs with a longer one are left out, `PreferenceData.note` counts
            them.
        batch_size: pairs in a global batch.
        name: of pairs that are given.
        run: a session, whose seed, position and limit are taken in place of the arguments.
        seed: of the order.
        position: an int64 variable (2) to start epochs from, made here if None.
        limit: use the first so many pairs of each split.

    Raises:
        FileNotFoundError: there are no such pairs, or no such tokenizer.
        ValueError: an argument out of its range, a line that is no pair, or a split of which none is left.
    """
    seed, position, limit = of_run(run, seed, position, limit)
    check_numbers(length=length, batch_size=batch_size, limit=limit)
    template = template_of(template)
    tokenizer = with_special(tokenizer, template.special)
    if not isinstance(pairs, dict):
        name, pairs = str(pairs), conversations.read(pairs, Preference)
    padding = tokenizer.special.get("padding", 0)
    kept, datasets, notes = {}, {}, []
    for key, found in pairs.items():
        encoded = [(pair, both(pair, template, tokenizer)) for pair in found[:limit]]
        fitting = [(pair, row) for pair, row in encoded if longest(row) <= length]
        notes += [f"{key}: {len(encoded) - len(fitting):,}"] if len(fitting) < len(encoded) else []
        if not fitting:
            raise ValueError(
                f"No pair of the split {key!r} of {name!r} has {length} tokens or fewer; give a longer length."
            )
        kept[key] = tuple(pair for pair, _ in fitting)
        with tf.device("CPU:0"):
            make = batches([row for _, row in fitting], length, padding)
            if key == "train":
                lengths = np.array([longest(row) for _, row in fitting])
                order = Order.start(
                    seed=seed, batch_size=batch_size, count=len(fitting), position=position, lengths=lengths
                )
                keys = order.keys()
            else:
                keys = tf.data.Dataset.range(len(fitting))
                keys = keys.batch(static.evaluation_batch(len(fitting), batch_size))
            datasets[key] = finalized(keys.map(make, tf.data.AUTOTUNE), (0, 1))
    return PreferenceData(
        name=name,
        **datasets,
        tokenizer=tokenizer,
        template=template,
        length=length,
        counts={key: len(found) for key, found in kept.items()},
        note=f"left out as longer than {length} tokens: {', '.join(notes)}" if notes else "",
        position=order.position,
        pairs=kept,
    )


def both(pair, template, tokenizer):
    """Field -> (T,) int32 of one pair."""
    row = {}
    for field, answer in (("chosen", pair.chosen), ("rejected", pair.rejected)):
        tokens, answered = judged(template, tokenizer, pair.prompt, answer)
        row |= {field: tokens, f"{field}_answered": answered}
    return row


def judged(template, tokenizer, prompt, answer):
    """A conversation up to the end of its last answer, and 1 at the tokens of that answer: two of (T,) int32."""
    before = len(template.encode(prompt, tokenizer, prompt=True)[0])
    tokens, learned = template.encode((*prompt, (ASSISTANT, answer)), tokenizer)
    tokens, answered = tokens[: last(learned) + 1], learned[: last(learned) + 1].astype("int32")
    answered[:before] = 0  # earlier answers
    return tokens, answered


def last(learned):
    return len(learned) - 1 - int(np.argmax(learned[::-1]))


def longest(row):
    return max(len(values) for values in row.values())


def batches(rows, length, padding):
    """A function from row numbers (B,) to the batch of these pairs; both sides have the same T."""
    sides = FIELDS[::2]
    for row in rows:  # equally long tables give equally long batches
        size = longest(row)
        for side in sides:
            rest = size - len(row[side])
            row[side] = np.pad(row[side], (0, rest), constant_values=padding)
            row[f"{side}_answered"] = np.pad(row[f"{side}_answered"], (0, rest))
    tables = {field: table([row[field] for row in rows]) for field in FIELDS}
    shape = (None, length) if static.is_required() else (None, None)

    def batch(numbers, *_):
        return {
            field: tf.ensure_shape(padded(values, numbers, length, filler=padding if field in sides else 0), shape)
            for field, values in tables.items()
        }

    return batch
