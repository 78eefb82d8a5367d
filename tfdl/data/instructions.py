"""Conversations as batches to learn answers from: tokens, and what follows each where an assistant wrote it.

    data = load("add", template="tags", length=32, batch_size=64)
    model = gpt("char_small", vocabulary_size=len(data.tokenizer), context=32)
    model.compile("adamw", TokenCrossEntropy())
    model.fit(data.train, validation_data=data.validation, epochs=5)

Each conversation has a row of its own, batches hold rows of similar lengths.  With `packed` several share a row:
`learners/supervised/packed.py` keeps them apart.  `conversations` says which names there are; the order is a pure
function of (seed, epoch, step), see `order`.

Sources: instruction tuning: Wei et al. 2021, arXiv:2109.01652; loss on answers: Ouyang et al. 2022, arXiv:2203.02155;
packing: Krell et al. 2021, arXiv:2107.02027.
Shapes: B batch, T tokens, padded to a multiple of MULTIPLE.
"""

import pathlib
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfdl.core import static
from tfdl.core.batches import PADDING
from tfdl.core.chat_templates import ASSISTANT, ChatTemplate, chat_task, template_of
from tfdl.data import conversations, sources
from tfdl.data.order import Order, finalized, of_run
from tfdl.data.text_pairs import padded, table
from tfdl.data.tokenizers import Characters, Pieces
from tfdl.data.tokenizers import load as load_tokenizer


@dataclass(frozen=True, eq=False)
class InstructionData:
    """Conversations, ready for `fit`: tokens (B, T) and targets (B, T) int32.

    The target is the following token where an assistant wrote that one, else PADDING, which `TokenCrossEntropy` leaves
    out.  Packed, the first is {"tokens", "segments", "positions"}, each (B, T): conversations of a row are numbered
    from 1 on, 0 is padding, and positions begin anew in each.
    """

    name: str
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    tokenizer: Pieces
    template: ChatTemplate
    length: int
    counts: dict[str, int]  # split -> conversations
    note: str  # which were left out, for the header
    position: tf.Variable
    conversations: dict[str, tuple]  # split -> its `Conversation`s
    answers = "Answers messages: gives for each token the logits of the one that follows."  # of a model card

    @property
    def short_name(self):
        """For folders of runs and titles."""
        return short_name(self.name)

    @property
    def task(self):
        """What a model of these conversations does."""
        return chat_task(self.template, self.tokenizer, self.length)

    def prompt(self, messages):
        """Token numbers (P,) of messages and of what opens the assistant's turn."""
        return self.template.encode(messages, self.tokenizer, prompt=True)[0]

    @property
    def stop_token(self):
        return self.template.stop_token(self.tokenizer)


def short_name(name):
    path = pathlib.Path(name)
    return path.stem if path.suffix in (".jsonl", ".gz") else sources.short_name(name.replace(",", "_"))


def load(
    name,
    *,
    rows=None,
    template="chatml",
    tokenizer=None,
    length=64,
    batch_size=64,
    packed=False,
    keep=None,
    run=None,
    seed=0,
    position=None,
    limit=None,
):
    """Reads the conversations called `name`: see `conversations.read`.

    Args:
        rows: a dict split -> `Conversation`s, which then are called `name`.
        template: a key of `chat_templates.TEMPLATES` or a `ChatTemplate`.
        tokenizer: file or folder of a published one, or `Pieces`; None has a token for each character of the training
            conversations.  Special tokens of the template that it lacks are added behind its vocabulary.
        length: the most tokens of a conversation; longer ones are left out, and `InstructionData.note` counts them.
        batch_size: rows in a global batch.
        packed: put several conversations into each row of `length` tokens.
        keep: learn from the first so many training conversations only.
        run: a session, whose seed, position and limit are taken in place of the arguments.
        seed: of the order.
        position: an int64 variable (2) to start epochs from, made here if None.
        limit: use the first so many conversations of each split.

    Raises:
        FileNotFoundError: there are no such conversations, or no such tokenizer.
        ValueError: an argument out of its range, a line that is no conversation, or a split of which none is left.
    """
    seed, position, limit = of_run(run, seed, position, limit)
    check_numbers(length=length, batch_size=batch_size, keep=keep, limit=limit)
    template = template_of(template)
    splits = dict(rows or conversations.read(name))
    splits["train"] = splits["train"][:keep]
    tokenizer = with_special(tokenizer or characters_of(splits["train"], template), template.special)
    encoded, kept, notes = {}, {}, []
    for key, found in splits.items():
        every = [(row, *template.encode(row.messages, tokenizer)) for row in found[:limit]]
        fitting = [row for row in every if len(row[1]) - 1 <= length]
        notes += [f"{key}: {len(every) - len(fitting):,}"] if len(fitting) < len(every) else []
        if not fitting:
            raise ValueError(
                f"No conversation of the split {key!r} of {name!r} has {length} tokens or fewer; give a longer length."
            )
        encoded[key] = [shifted(tokens, learned) for _, tokens, learned in fitting]
        kept[key] = tuple(row for row, *_ in fitting)
    make = packed_rows if packed else single_rows
    padding = tokenizer.special.get("padding", 0)
    tables = {key: make(found, length, padding) for key, found in encoded.items()}
    lengths = {key: np.array([len(row) for row in found["targets"]]) for key, found in tables.items()}
    order = Order.start(
        seed=seed, batch_size=batch_size, count=len(lengths["train"]), position=position, lengths=lengths["train"]
    )
    with tf.device("CPU:0"):
        datasets = {"train": order.keys().map(batches(tables["train"], length, padding), tf.data.AUTOTUNE)}
        for key in ("validation", "test"):
            count = len(lengths[key])
            keys = tf.data.Dataset.range(count).batch(static.evaluation_batch(count, batch_size))
            datasets[key] = keys.map(batches(tables[key], length, padding), tf.data.AUTOTUNE)
    return InstructionData(
        name=str(name),
        **{key: finalized(dataset, (0, 1)) for key, dataset in datasets.items()},
        tokenizer=tokenizer,
        template=template,
        length=length,
        counts={key: len(found) for key, found in kept.items()},
        note=f"left out as longer than {length} tokens: {', '.join(notes)}" if notes else "",
        position=order.position,
        conversations=kept,
    )


def check_numbers(**numbers):
    """Raises ValueError for a number below 1; None is none."""
    for argument, value in numbers.items():
        if value is not None and value < 1:
            raise ValueError(f"{argument} is {value}; give 1 or more.")


# Tokens


def characters_of(rows, template):
    """A token for each character of these conversations and of the template; 0 is padding, 1 an unknown one."""
    text = "".join(content for row in rows for _, content in row.messages)
    return Pieces(Characters.of(text + template.text([(ASSISTANT, ""), ("user", ""), ("system", "")])).tokenizer)


def with_special(tokenizer, special):
    """`Pieces` that have these special tokens."""
    if isinstance(tokenizer, str | pathlib.Path):
        tokenizer = load_tokenizer(pathlib.Path(tokenizer).expanduser())
    missing = [token for token in special if tokenizer.tokenizer.token_to_id(token) is None]
    tokenizer.tokenizer.add_special_tokens(missing)
    return Pieces(tokenizer.tokenizer)


def shifted(tokens, learned):
    """What is read (T - 1,), and what follows each: (T - 1,), PADDING where no assistant wrote it."""
    return tokens[:-1], np.where(learned[1:], tokens[1:], PADDING).astype("int32")


# Rows: field -> one array (T,) for each row


def single_rows(rows, length, padding):
    """A conversation in each row."""
    return {"tokens": [tokens for tokens, _ in rows], "targets": [targets for _, targets in rows]}


def packed_rows(rows, length, padding):
    """Several conversations in each row of at most `length` tokens, by the rule "longest first, first place that fits".

    Krell et al. 2021, algorithm 2, without its histogram.
    """
    bins, room = [], []
    for i in sorted(range(len(rows)), key=lambda i: -len(rows[i][0])):
        need = len(rows[i][0])
        place = next((b for b, free in enumerate(room) if free >= need), None)
        if place is None:
            bins.append([])
            room.append(length)
            place = -1
        bins[place].append(i)
        room[place] -= need
    return {
        "tokens": [np.concatenate([rows[i][0] for i in found]) for found in bins],
        "targets": [np.concatenate([rows[i][1] for i in found]) for found in bins],
        "segments": [np.repeat(np.arange(1, len(found) + 1), [len(rows[i][0]) for i in found]) for found in bins],
        "positions": [np.concatenate([np.arange(len(rows[i][0])) for i in found]) for found in bins],
    }


def batches(rows, length, padding):
    """A function from row numbers (B,) to the batch of these rows."""
    fillers = {"tokens": padding, "targets": PADDING, "segments": 0, "positions": 0}
    tables = {field: table([np.asarray(row, "int32") for row in found]) for field, found in rows.items()}
    shape = (None, length) if static.is_required() else (None, None)

    def batch(numbers, *_):
        fields = {
            field: tf.ensure_shape(padded(values, numbers, length, filler=fillers[field]), shape)
            for field, values in tables.items()
        }
        targets = fields.pop("targets")
        return (fields if "segments" in fields else fields["tokens"]), targets

    return batch
