"""Speculative decoding: a small model guesses some tokens, the large one checks them all in one pass.

    answer = model.speculate(draft, prompts, guesses=4, new_tokens=40, sampling=Sampling(temperature=0.8))

The texts have the large model's own distribution; without temperature they are those of `generate`.  It pays where the
draft is often right and the large model reads five tokens in little more time than one: `tools/bench_speculative.py`
measures it.
Paper: Leviathan et al. 2022, arXiv:2211.17192, algorithm 1; appendix A.1 has the proof.
Shapes: G guesses, N places for new tokens, V vocabulary; each prompt is written by itself.
"""

import numpy as np
import tensorflow as tf

from tfdl.inference.generation import (
    Generated,
    cache_length,
    checked,
    is_encoder_decoder,
    kept_by,
    reader_of,
    refuse_nan,
)
from tfdl.inference.sampling import Sampling, gumbel, kept, uniform

DRAFT, CHECK, REST = range(3)  # what a random number is for


def speculate(model, draft, prompts, *, guesses=4, new_tokens=64, sampling=None, stop_tokens=(), seed=0, compiled=True):
    """What `model` writes after each prompt.

    Args:
        model: a `CausalDecoder`.
        draft: a smaller one with the same tokens.
        guesses: G, tokens that the draft writes before they are checked.
        sampling: as for `generate`, without repetition penalty.
        prompts, new_tokens, stop_tokens, seed, compiled: as for `generate`.

    Returns:
        Generated, with the share of the guesses that was right as `accepted`.

    Raises:
        ValueError, FloatingPointError: as `generate`, for either model.
    """
    sampling = sampling or Sampling()
    if sampling.repetition_penalty != 1:
        raise ValueError("Speculative decoding knows no repetition penalty; leave it out, or use generate.")
    if guesses < 1:
        raise ValueError(f"guesses is {guesses}; give 1 or more.")
    if any(map(is_encoder_decoder, (model, draft))):
        raise ValueError("Speculative decoding is for models that go on with a text, not for encoder-decoders.")
    sizes = [m.config.vocabulary_size for m in (model, draft)]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"{model.name} has {sizes[0]:,} tokens and its draft {sizes[1]:,}; they must share a tokenizer."
        )
    for reader in (model, draft):  # the last guesses may lie behind the last token
        rows = checked(reader, prompts, new_tokens + guesses, None)
    loop = kept_by(
        model,
        ("speculate", draft, guesses, sampling, compiled),
        lambda: tf.function(writer(model, draft, guesses, sampling), jit_compile=compiled, autograph=False),
    )
    answers = [
        written_after(model, draft, loop, row, guesses, new_tokens, stop_tokens, seed + i) for i, row in enumerate(rows)
    ]
    tokens, values, accepted = zip(*answers)
    return Generated(list(tokens), list(values), list(accepted))


def written_after(model, draft, loop, row, guesses, new_tokens, stop_tokens, seed):
    """(tokens, log-probabilities, share of accepted guesses) of one text."""
    caches = []
    if len(row) > 1:  # all but the last token, which the loop reads first
        read = tf.constant(row[None, :-1])
    for reader in (model, draft):
        places = cache_length(len(row) + new_tokens + guesses, reader.config.context)
        cache = reader.empty_cache(1, places)
        if len(row) > 1:
            _, cache = reader_of(reader, places)(read, cache, tf.zeros(1, tf.int32))
        caches.append(cache)
    places = cache_length(new_tokens + guesses + 1, model.config.context)
    tokens, values, count, right, guessed, broken = loop(
        tf.constant(row[-2:][:1]),
        tf.constant(row[-1:]),
        tf.constant(len(row) - 1),
        *caches,
        tf.zeros(places, tf.int32),
        tf.constant(new_tokens),
        tf.constant(list(stop_tokens), tf.int32),
        tf.constant(seed, tf.int64),
    )
    refuse_nan(model, broken)
    count = min(int(count), new_tokens)
    stops = np.flatnonzero(np.isin(tokens[:count], list(stop_tokens)))
    count = int(stops[0]) if stops.size else count
    return tokens[:count].numpy(), values[:count].numpy(), float(right / max(1, guessed))


def writer(model, draft, guesses, sampling):
    """(last two tokens, (1,) each, places taken, both caches, zeros (N,), most tokens, stop tokens, seed) -> new tokens
    (N,), their log-probabilities (N,), how many there are, right guesses, all guesses, whether a logit was NaN.
    """

    def write(before, token, position, own, its, empty, most, stops, seed):
        def goes_on(s):
            written = tf.range(empty.shape[0]) < s["count"]
            stopped = tf.reduce_any((s["written"][:, None] == stops) & written[:, None])
            return (s["count"] < most) & ~stopped

        def step(s):
            # The draft's guesses.  It reads the token before the last one again: it has not seen its own last guess.
            start = tf.maximum(s["position"] - 1, 0)  # a text of one token stands twice, the second time for nothing
            two, last = tf.stack([s["before"], s["token"]], axis=1), (s["position"] - start)[None]
            logits, its = draft.extend(two, s["its"], start, last=last)
            tokens, scores = [s["token"]], [logits[:, 0]]
            for i in range(1, guesses + 1):
                tokens.append(next_token(scores[-1], sampling, seed, s["position"] + i - 1))
                if i < guesses:
                    logits, its = draft.extend(tokens[-1][:, None], its, s["position"] + i)
                    scores.append(logits[:, 0])
            read = tf.stack(tokens, axis=1)  # (1, G + 1)
            guessed = read[0, 1:]

            # The model's own logits at the same places, in one pass
            logits, own = model.extend(read, s["own"], s["position"])
            if sampling.temperature:
                p, q = (distribution(values, sampling) for values in (logits[0], tf.concat(scores, axis=0)))
                accepted, last = judged(p, q, guessed, seed, s["position"])
            else:
                accepted, last = agreed(likeliest(logits[0]), guessed)
            new = tf.where(tf.range(guesses + 1) < accepted, tf.concat([guessed, [0]], axis=0), last)  # (G + 1,)
            values = tf.gather(tf.nn.log_softmax(logits[0]), new, batch_dims=1)
            return (
                {
                    "before": tf.gather(read, accepted, axis=1),
                    "token": last,
                    "position": s["position"] + accepted + 1,
                    "own": own,
                    "its": its,
                    "written": put(s["written"], new, s["count"]),
                    "values": put(s["values"], values, s["count"]),
                    "count": s["count"] + accepted + 1,
                    "right": s["right"] + accepted,
                    "guessed": s["guessed"] + guesses,
                    "broken": s["broken"] | tf.reduce_any(tf.math.is_nan(logits)),
                },
            )

        state = {
            "before": before,
            "token": token,
            "position": position,
            "own": own,
            "its": its,
            "written": empty,
            "values": tf.cast(empty, tf.float32),
            "count": tf.constant(0),
            "right": tf.constant(0),
            "guessed": tf.constant(0),
            "broken": tf.constant(False),
        }
        s = tf.while_loop(goes_on, step, (state,))[0]
        return tuple(s[name] for name in ("written", "values", "count", "right", "guessed", "broken"))

    return write


def agreed(own, guessed):
    """How many of the guesses (G,) are the model's own tokens (G + 1,), up to the first that is not, and the model's
    token (1,) that follows them: algorithm 1 where p and q are 1 for the likeliest token and 0 for the others.
    """
    accepted = tf.reduce_sum(tf.math.cumprod(tf.cast(own[:-1] == guessed, tf.int32)))
    return accepted, tf.gather(own, accepted)[None]


def judged(p, q, guessed, seed, position):
    """Algorithm 1 from line 6 on.

    Args:
        p: the model's distributions after the last token and after each guess, (G + 1, V).
        q: those from which the guesses were drawn, (G, V).
        guessed: (G,) int32.
        seed, position: of the random numbers.

    Returns:
        how many guesses are accepted, and the token (1,) that follows them.
    """
    # Line 6: each guess is accepted with probability min(1, p / q), up to the first that is not
    ratio = tf.gather(p[:-1], guessed, batch_dims=1) / tf.gather(q, guessed, batch_dims=1)
    chances = tf.concat([uniform(seed, place(position + i, CHECK), 1) for i in range(guessed.shape[0])], axis=0)
    accepted = tf.reduce_sum(tf.math.cumprod(tf.cast(chances < ratio, tf.int32)))

    # Lines 7 to 10: one more token, from what p has more than q, or from p where all guesses were right
    more = tf.maximum(p - tf.concat([q, tf.zeros_like(q[:1])], axis=0), 0.0)  # (G + 1, V)
    return accepted, drawn(tf.gather(more, accepted)[None], seed, position + accepted, REST)


def next_token(logits, sampling, seed, position):
    """The draft's next token (1,) int32 by its logits (1, V)."""
    if not sampling.temperature:
        return likeliest(logits)
    return drawn(distribution(logits, sampling), seed, position, DRAFT)


def likeliest(logits):
    return tf.argmax(logits, axis=-1, output_type=tf.int32)


def distribution(logits, sampling):
    """Probabilities (n, V) of the next token by `sampling`, which has a temperature."""
    return tf.nn.softmax(kept(logits, None, sampling))


def drawn(weights, seed, position, purpose):
    """A token (1,) int32 in proportion to weights (1, V), by Gumbel's trick: without weight none is drawn."""
    return likeliest(tf.math.log(weights) + gumbel(seed, place(position, purpose), weights.shape[1]))


def place(position, purpose):
    """In the stream of random numbers: each position and purpose has its own."""
    return len((DRAFT, CHECK, REST)) * position + purpose


def put(values, new, at):
    """`values` (N,) with `new` from place `at` on."""
    return tf.tensor_scatter_nd_update(values, (at + tf.range(new.shape[0]))[:, None], new)
