"""Prompts to answer, and the answers of one iteration to learn from: the data of PPO and GRPO.

    data = of_prompts(instructions, prompts=64, answers=8, batch_size=128, fields=GRPO.fields)
    learner.fit(data.train, callbacks=[Rollouts(learner, data, ...)])

An epoch is an iteration: `Rollouts` fills the table when it begins, and `train` is the table in batches, in an order
that is a pure function of (seed, epoch, step), see `order`.  A run can be resumed between epochs.

Source: Schulman et al. 2017, arXiv:1707.06347, algorithm 1.
Shapes: N answers of an iteration, B of a batch, T tokens.
"""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfdl.data.instructions import InstructionData, check_numbers
from tfdl.data.order import Order, finalized, of_run, permutation

TOKENS = ("tokens", "answered")


@dataclass(frozen=True, eq=False)
class Experience:
    """The answers of an iteration, ready for `fit`: a dict of "tokens" and "answered" (B, T) int32, and of others
    (B, T) float32.

    "answered" is 1 at the tokens that the policy wrote, the end of its turn included if it ended.
    """

    train: tf.data.Dataset
    instructions: InstructionData
    held_out: tuple  # conversations of the validation split, to measure rewards on
    length: int  # T
    new_tokens: int  # the most that an answer may have
    counts: dict[str, int]
    seed: int
    position: tf.Variable
    table: dict[str, tf.Variable]  # field -> (N, T)
    chosen: object  # epoch -> rows of the training split
    validation = None  # rewards are measured by `Rollouts`
    steps = 0  # an epoch cannot be entered in its middle: its answers are written when it begins

    @property
    def name(self):
        return self.instructions.name

    @property
    def short_name(self):
        return self.instructions.short_name

    @property
    def tokenizer(self):
        return self.instructions.tokenizer

    @property
    def task(self):
        return self.instructions.task

    @property
    def stop_token(self):
        return self.instructions.stop_token

    def prompts(self, epoch):
        """The conversations whose prompts are answered in an epoch."""
        rows = self.instructions.conversations["train"]
        return [rows[i] for i in np.asarray(self.chosen(epoch)).tolist()]

    def prompt(self, conversation):
        return self.instructions.prompt(conversation.prompt)

    def decode(self, tokens):
        return self.tokenizer.decode(tokens)

    def rows(self, conversations, written):
        """Prompts with the answers behind them.

        Args:
            conversations: N `Conversation`s.
            written: tokens of each answer, without its end.

        Returns:
            tokens and answered, (N, T) int32 each.
        """
        padding = self.tokenizer.special.get("padding", 0)
        tokens = np.full((len(written), self.length), padding, "int32")
        answered = np.zeros_like(tokens)
        for i, (conversation, answer) in enumerate(zip(conversations, written)):
            prompt = self.prompt(conversation)
            if len(answer) < self.new_tokens:  # it ended
                answer = np.append(answer, self.stop_token)
            tokens[i, : len(prompt) + len(answer)] = [*prompt, *answer]
            answered[i, len(prompt) : len(prompt) + len(answer)] = 1
        return tokens, answered

    def fill(self, **fields):
        """Replaces the table by the answers of a new iteration."""
        for field, values in fields.items():
            self.table[field].assign(values)


def of_prompts(
    instructions,
    *,
    prompts,
    answers,
    batch_size,
    fields,
    new_tokens,
    passes=1,
    held_out=200,
    run=None,
    seed=0,
    position=None,
):
    """An `Experience` of the prompts in `instructions`.

    Args:
        instructions: `InstructionData`, of which the prompts are used.
        prompts: that are answered in an iteration; answers, to each of them.
        batch_size: answers in an update.
        fields: names of what a learner keeps of each token.
        new_tokens: the most tokens of an answer.
        passes: how often an iteration's answers are learned from.
        held_out: validation prompts to measure rewards on.
        run: a session, whose seed and position are taken in place of the arguments.
        seed: of prompts and order.
        position: an int64 variable (2) to start epochs from, made here if None.

    Raises:
        ValueError: a number below 1, or more prompts than the training split has.
    """
    seed, position, limit = of_run(run, seed, position, None)
    check_numbers(
        prompts=prompts, answers=answers, batch_size=batch_size, new_tokens=new_tokens, passes=passes, held_out=held_out
    )
    if limit is not None:
        prompts, held_out = min(prompts, limit // answers), min(held_out, limit)
    available = len(instructions.conversations["train"])
    if prompts > available:
        raise ValueError(f"prompts is {prompts}, but {instructions.name!r} has {available}; give fewer.")
    longest = max(len(instructions.prompt(row.prompt)) for rows in instructions.conversations.values() for row in rows)
    length, count = longest + new_tokens, prompts * answers
    rounds = available // prompts  # iterations in which every prompt comes once

    def chosen(epoch):
        mixed = permutation((seed, epoch // rounds), available)
        return mixed[epoch % rounds * prompts : (epoch % rounds + 1) * prompts]

    def rows(epoch):
        """Each answer once in each pass."""
        every = [permutation((seed + 1, epoch * passes + i), count) for i in range(passes)]
        return tf.concat(every, axis=0)

    order = Order.start(seed=seed, batch_size=batch_size, count=count * passes, position=position)
    order = Order(seed, batch_size, count * passes, order.position, order.begun, rows)
    with tf.device("CPU:0"):
        table = {
            field: tf.Variable(tf.zeros((count, length), tf.int32 if field in TOKENS else tf.float32), trainable=False)
            for field in (*TOKENS, *fields)
        }

        def batch(rows, seed):
            found = {field: tf.gather(values, rows) for field, values in table.items()}
            return {field: tf.ensure_shape(values, (None, length)) for field, values in found.items()}

        train = finalized(order.keys().map(batch), (0, 1))
    return Experience(
        train=train,
        instructions=instructions,
        held_out=instructions.conversations["validation"][:held_out],
        length=length,
        new_tokens=new_tokens,
        counts={"train": count * passes, "validation": min(held_out, len(instructions.conversations["validation"]))},
        seed=seed,
        position=order.position,
        table=table,
        chosen=chosen,
    )
