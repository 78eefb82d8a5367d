"""Texts that a language model writes: token after token with a cache, in a loop that is compiled once.

    answer = model.generate([tokenizer.encode("To be")], new_tokens=40, sampling=Sampling(temperature=0.8, top_k=40))
    answer.tokens[0], answer.log_probabilities[0]

A `CausalDecoder` goes on where its prompts end; an `EncoderDecoder` reads the prompts and writes from its start token.
Prompts of a batch may differ in length: shorter ones are padded on the left and give what they give alone.
How the next token is chosen is in `tfdl.inference.sampling`.
Shapes: B prompts, P their tokens, S places of the cache, N places for new tokens, V vocabulary.
"""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfdl.inference.sampling import IMPOSSIBLE, Sampling, chosen

SHORTEST_CACHE = 64  # places; longer ones are powers of 2, so that few lengths are compiled
STREAMED = 8  # tokens between two calls of `stream`


@dataclass(frozen=True)
class Generated:
    """What a model wrote.

    Attributes:
        tokens: for each prompt, the new tokens (N,) int32 without the stop token.
        log_probabilities: for each prompt, the model's own log-probability of each of them (N,) float32, before
            temperature and cuts.
        accepted: of speculative decoding, for each prompt the share of the draft's guesses that the model accepted.
        matched: with a constraint, for each prompt whether the new text is whole; it may have been longer than allowed.
    """

    tokens: list[np.ndarray]
    log_probabilities: list[np.ndarray]
    accepted: list[float] | None = None
    matched: list[bool] | None = None


def generate(
    model,
    prompts,
    *,
    new_tokens=64,
    sampling=None,
    stop_tokens=(),
    constraint=None,
    start=None,
    seed=0,
    stream=None,
    compiled=True,
):
    """What `model` writes after, or in answer to, each of `prompts`.

    Args:
        model: a `CausalDecoder` or an `EncoderDecoder`.
        prompts: token numbers, one sequence for each text; lengths may differ.
        new_tokens: the most tokens to write, 1 or more.
        sampling: a `Sampling`; None takes the likeliest token at each step.
        stop_tokens: token numbers that end a text.
        constraint: a `tfdl.inference.constraints.Constraint` on the new texts; a text ends where nothing may follow.
        start: the token that an `EncoderDecoder` writes first.
        seed: of the draws of the first prompt, the next number for the next prompt, and so on: a prompt with its own
            seed gives the same text alone.
        stream: a function of a list with the tokens that are new in each text, called every few tokens; where it gives
            True, nothing more is written.
        compiled: by XLA, which takes seconds once for a batch size and a power of 2 of places; afterwards it is about
            1.3 times as fast, with GPT-2's shapes on two cores.

    Returns:
        Generated

    Raises:
        ValueError: no or empty prompts, a token that the model has not, or more tokens than the model sees.
        FloatingPointError: the model's logits are NaN.
    """
    sampling = sampling or Sampling()
    places = cache_length(new_tokens, model.config.context)
    stops = tf.constant(list(stop_tokens), tf.int32)
    rules = rules_of(constraint)
    begin = kept_by(model, (sampling, "begin"), lambda: tf.function(beginner(sampling), autograph=False))
    write = kept_by(
        model,
        (sampling, compiled),
        lambda: tf.function(writer(model, sampling), jit_compile=compiled, autograph=False),
    )
    prompts = read(model, prompts, new_tokens, start)
    state = first_state(prompts, places, sampling, seed) | begun(constraint, len(prompts.starts))
    state, shown = begin(prompts.logits, state, stops, rules), 0
    while shown < new_tokens:
        until = min(new_tokens, shown + STREAMED) if stream else new_tokens
        if not np.all(state["ended"]):
            state = write(state, stops, tf.constant(until), rules)
        refuse_nan(model, state["broken"])
        new = [row[shown:count] for row, count in zip(state["written"].numpy(), state["counts"].numpy())]
        shown = until
        if (stream and stream(new)) or np.all(state["ended"]):
            break
    counts = state["counts"].numpy()
    rows = zip(state["written"].numpy(), state["log_probabilities"].numpy(), counts)
    tokens, log_probabilities = zip(*((row[:count], values[:count]) for row, values, count in rows))
    return Generated(list(tokens), list(log_probabilities), matched=matched(constraint, state))


def refuse_nan(model, broken):
    if np.any(broken):
        raise FloatingPointError(f"The logits of {model.name} are NaN: its weights are broken, see its training's log.")


@dataclass(frozen=True, eq=False)
class Read:
    """Prompts that a model has read.

    Attributes:
        logits: (B, V) float32 of the token that follows each prompt.
        cache: the model's, of S places.
        position: places that are taken.
        starts: (B,) int32, places of padding before each prompt.
        seen: (B, V) bool, tokens that occur in it.
    """

    logits: tf.Tensor
    cache: object
    position: tf.Tensor
    starts: tf.Tensor
    seen: tf.Tensor


def read(model, prompts, new_tokens, start, copies=1):
    """Has the model read each prompt `copies` times, with room for `new_tokens`.  Raises ValueError as `generate`."""
    rows = [row for row in checked(model, prompts, new_tokens, start) for _ in range(copies)]
    batch, longest = len(rows), max(map(len, rows))
    if is_encoder_decoder(model):
        tokens = np.full((batch, longest), model.config.padding, "int32")  # behind the text: the model masks it
        for row, values in zip(tokens, rows):
            row[: len(values)] = values
        rows = [np.array([start], "int32")] * batch
        places, starts, position = cache_length(new_tokens + 1, model.config.context), np.zeros(batch, "int32"), 1
        reader = kept_by(model, "encoder", lambda: encoder_reader(model))
        logits, cache = reader(tf.constant(tokens), tf.constant(np.stack(rows)), places)
    else:
        (tokens, starts), position = left_padded(rows), longest
        places = cache_length(longest + new_tokens, model.config.context)
        empty = model.empty_cache(batch, places)
        logits, cache = reader_of(model, places)(tf.constant(tokens), empty, tf.constant(starts))
    seen = occurring(rows, model.config.vocabulary_size)
    return Read(logits, cache, tf.constant(position), tf.constant(starts), tf.constant(seen))


def left_padded(rows):
    """Token numbers (B, P) int32 with zeros before shorter rows, and how many there are, (B,) int32."""
    longest = max(map(len, rows))
    tokens, starts = np.zeros((len(rows), longest), "int32"), np.array([longest - len(row) for row in rows], "int32")
    for row, values, begin in zip(tokens, rows, starts):
        row[begin:] = values
    return tokens, starts


def occurring(rows, size):
    """(B, V) bool: which tokens each row has."""
    seen = np.zeros((len(rows), size), bool)
    for row, values in zip(seen, rows):
        row[values] = True
    return seen


def checked(model, prompts, new_tokens, start):
    """The prompts as arrays (P,) int32.  Raises ValueError as `generate`."""
    if not len(prompts):
        raise ValueError("There are no prompts; give at least one.")
    if new_tokens < 1:
        raise ValueError(f"new_tokens is {new_tokens}; give 1 or more.")
    rows = [np.asarray(prompt, "int32").ravel() for prompt in prompts]
    context, longest = model.config.context, max(map(len, rows))
    size = getattr(model.config, "source_vocabulary", model.config.vocabulary_size)
    for i, row in enumerate(rows):
        if not row.size:
            raise ValueError(f"Prompt {i} is empty; begin it with at least one token, such as the start token.")
        if row.min() < 0 or row.max() >= size:
            wrong = row[(row < 0) | (row >= size)][0]
            raise ValueError(
                f"Prompt {i} has the token {wrong}, but {model.name} has {size:,}: is the tokenizer another model's?"
            )
    room = context - (1 if is_encoder_decoder(model) else longest)
    if longest > context or new_tokens > room:
        advice = "shorten it" if longest > context or room < 1 else f"shorten it, or give new_tokens={room}"
        raise ValueError(
            f"The longest prompt has {longest:,} tokens and {new_tokens:,} more are wanted, but {model.name} sees"
            f" {context:,}: {advice}."
        )
    if is_encoder_decoder(model) and start is None:
        raise ValueError(f"{model.name} writes from a start token: give start=, such as its tokenizer's.")
    return rows


def first_state(prompts, places, sampling, seed):
    """Of the loop, before the first token: what was `read`, and what will be written."""
    read = {"cache": prompts.cache, "position": prompts.position, "starts": prompts.starts}
    return read | unwritten(prompts.seen, places, sampling, seed)


def unwritten(seen, places, sampling, seed):
    """Of texts that have no token yet: (B, N) and (B,) for what will be written after prompts with `seen` (B, V)."""
    batch = tf.shape(seen)[0]
    return {
        "tokens": tf.zeros(batch, tf.int32),
        "step": tf.constant(0),
        "seen": seen if sampling.repetition_penalty != 1 else tf.zeros((batch, 0), tf.bool),
        "seeds": tf.constant(seed, tf.int64) + tf.range(batch, dtype=tf.int64),
        "written": tf.zeros((batch, places), tf.int32),
        "log_probabilities": tf.zeros((batch, places)),
        "counts": tf.zeros(batch, tf.int32),
        "ended": tf.zeros(batch, tf.bool),
        "broken": tf.constant(False),
    }


def rules_of(constraint):
    """What the loop needs of a constraint: (table (Q, V), final states (Q,)), or None."""
    return None if constraint is None else (tf.constant(constraint.table), tf.constant(constraint.final))


def begun(constraint, batch):
    """The part of the state that follows a constraint."""
    return {} if constraint is None else {"rule": tf.fill(batch, constraint.start)}


def matched(constraint, state):
    """Whether each text is one that the constraint allows as a whole."""
    return None if constraint is None else constraint.final[state["rule"].numpy()].tolist()


def is_encoder_decoder(model):
    return hasattr(model, "start")


def cache_length(needed, context):
    """Places of a cache: a power of 2, at most the context, so that lengths share compiled loops."""
    return min(context, max(SHORTEST_CACHE, 1 << (needed - 1).bit_length()))


def kept_by(model, key, make):
    """What `make()` gave when `key` was first asked for; it stays with the model, so that nothing is traced twice."""
    kept = model.__dict__.setdefault("_generation", {})
    if key not in kept:
        kept[key] = make()
    return kept[key]


def reader_of(model, places):
    """(tokens (B, P), empty cache of so many places, starts (B,)) -> logits (B, V) of the next token and cache."""

    def read(tokens, cache, starts):
        last = tf.fill(tf.shape(starts), tf.shape(tokens)[1] - 1)
        logits, cache = model.extend(tokens, cache, 0, starts, last)
        return logits[:, 0], cache

    # One trace for prompts of every length; of a cache the length must be known, so that each length has its own.
    return kept_by(model, ("prompt", places), lambda: tf.function(read, autograph=False, reduce_retracing=True))


def encoder_reader(model):
    """(source (B, P), first token (B, 1), places) -> logits (B, V) and cache."""

    @tf.function(autograph=False, reduce_retracing=True)
    def reader(source, first, places):
        logits, cache = model.extend(first, model.start(source, places), 0)
        return logits[:, -1], cache

    return reader


def extended(model, tokens, cache, position, starts):
    """Logits (B, V) after one more token (B,) of each text, and the cache."""
    rest = () if is_encoder_decoder(model) else (starts,)
    logits, cache = model.extend(tokens[:, None], cache, position, *rest)
    return logits[:, 0], cache


def writer(model, sampling):
    """The loop: (state, stop tokens, how many tokens there will be, rules) -> state."""

    def write(state, stops, until, rules):
        def goes_on(state):
            return (state["step"] < until) & ~tf.reduce_all(state["ended"])

        def step(state):
            logits, cache = extended(model, state["tokens"], state["cache"], state["position"], state["starts"])
            state = state | {"cache": cache, "position": state["position"] + 1}
            return (with_next(state, logits, stops, sampling, rules),)

        return tf.while_loop(goes_on, step, (state,))[0]

    return write


def beginner(sampling):
    """(logits (B, V) after the prompts, first state, stop tokens, rules) -> state with each text's first token."""
    return lambda logits, state, stops, rules: with_next(state, logits, stops, sampling, rules)


def with_next(state, logits, stops, sampling, rules):
    """The state with one more token of each text, which the model has not read yet."""
    ended, i, allowed = state["ended"], state["step"], logits
    if rules is not None:
        following = tf.gather(rules[0], state["rule"])  # (B, V)
        may_stop = tf.gather(rules[1], state["rule"])[:, None] & is_any(tf.range(logits.shape[1]), stops)
        may_follow = may_stop | (following >= 0)
        allowed = tf.where(may_follow, logits, IMPOSSIBLE)
        ended |= ~tf.reduce_any(may_follow, axis=1)
    tokens = chosen(allowed, state["seen"], state["seeds"], i, sampling)  # (B,)
    ended |= is_any(tokens, stops)
    values = tf.gather(tf.nn.log_softmax(logits), tokens, batch_dims=1)
    here = (tf.range(state["written"].shape[1]) == i)[None] & ~ended[:, None]  # (B, N)
    new = {
        "tokens": tokens,
        "step": i + 1,
        "ended": ended,
        "counts": state["counts"] + tf.cast(~ended, tf.int32),
        "written": tf.where(here, tokens[:, None], state["written"]),
        "log_probabilities": tf.where(here, values[:, None], state["log_probabilities"]),
        "broken": state["broken"] | tf.reduce_any(tf.math.is_nan(logits)),
    }
    if rules is not None:
        after = tf.gather(following, tokens, batch_dims=1)
        new["rule"] = tf.where(ended, state["rule"], after)
    if sampling.repetition_penalty != 1:
        new["seen"] = state["seen"] | tf.one_hot(tokens, logits.shape[-1], True, False, dtype=tf.bool)
    return state | new


def is_any(tokens, of):
    """Which of `tokens` (n,) are among `of` (m,)."""
    return tf.reduce_any(tokens[:, None] == of, axis=1)
