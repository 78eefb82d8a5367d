"""Contrastive search: of the likely tokens the one least like all tokens before it, so that texts do not repeat.

    answer = model.contrastive_search(prompts, candidates=4, penalty=0.6, new_tokens=40)

Paper: Su et al. 2022, arXiv:2202.06417, section 3.2, eq. 5.
Shapes: B prompts, K candidates, S places of the cache, N places for new tokens, V vocabulary, D width.
"""

import tensorflow as tf

from tfdl.inference.generation import (
    Generated,
    cache_length,
    checked,
    is_encoder_decoder,
    kept_by,
    left_padded,
    refuse_nan,
)


def contrastive_search(model, prompts, *, candidates=4, penalty=0.6, new_tokens=64, stop_tokens=()):
    """What `model` writes after each prompt.

    Args:
        model: a `CausalDecoder`.
        candidates: K, of the likeliest tokens one is taken; 1 is greedy search.
        penalty: alpha of eq. 5, from 0 (greedy search) to 1 (whatever is least alike).
        prompts, new_tokens, stop_tokens: as for `generate`.

    Returns:
        Generated

    Raises:
        ValueError, FloatingPointError: as `generate`, or an argument out of its range, or an encoder-decoder.
    """
    if is_encoder_decoder(model):
        raise ValueError(f"{model.name} reads a source; contrastive search is for models that go on with a text.")
    if not (1 <= candidates <= model.config.vocabulary_size and 0 <= penalty <= 1):
        raise ValueError(
            f"candidates is {candidates} and penalty {penalty}; give 1 to {model.config.vocabulary_size:,} candidates"
            " and a penalty of 0 to 1."
        )
    tokens, starts = left_padded(checked(model, prompts, new_tokens, None))
    key = ("contrastive", candidates, float(penalty))
    search = kept_by(model, key, lambda: tf.function(searcher(model, *key[1:]), autograph=False, reduce_retracing=True))
    cache = model.empty_cache(len(tokens), cache_length(tokens.shape[1] + new_tokens, model.config.context))
    stops = tf.constant(list(stop_tokens), tf.int32)
    written, values, counts, broken = search(
        tf.constant(tokens), cache, tf.constant(starts), stops, tf.constant(new_tokens)
    )
    refuse_nan(model, broken)
    rows = list(zip(written.numpy(), values.numpy(), counts.numpy()))
    return Generated([row[:count] for row, _, count in rows], [row[:count] for _, row, count in rows])


def searcher(model, candidates, penalty):
    """(tokens (B, P), empty cache, starts (B,), stop tokens, most new tokens) -> the new tokens (B, N), their
    log-probabilities (B, N), how many there are (B,), and whether a logit was NaN."""

    def search(tokens, cache, starts, stops, most):
        batch, places = tokens.shape[0], cache[0][0].shape[2]
        position = tf.shape(tokens)[1]
        vectors, cache = model.extended_vectors(tokens, cache, 0, starts)  # (B, P, D)
        logits = model.logits(vectors[:, -1:])[:, 0]
        directions = tf.math.l2_normalize(tf.cast(vectors, tf.float32), axis=-1)
        directions = tf.pad(directions, [[0, 0], [0, places - position], [0, 0]])
        directions = tf.ensure_shape(directions, (batch, places, vectors.shape[-1]))  # (B, S, D)

        def goes_on(s):
            return (s["step"] < most) & ~tf.reduce_all(s["ended"])

        def step(s):
            log_p = tf.nn.log_softmax(s["logits"])
            likely, choices = tf.math.top_k(log_p, candidates)  # (B, K)
            repeated = tf.nest.map_structure(lambda x: tf.repeat(x, candidates, axis=0), s["cache"])
            rows = tf.reshape(choices, (-1, 1))
            vectors, cache = model.extended_vectors(
                rows, repeated, s["position"], tf.repeat(starts, candidates)
            )  # (BK, 1, D)
            logits = tf.reshape(model.logits(vectors)[:, 0], (batch, candidates, -1))
            new = tf.math.l2_normalize(tf.cast(vectors, tf.float32), axis=-1)
            new = tf.reshape(new, (batch, candidates, -1))  # (B, K, D)

            there = (tf.range(places) < s["position"]) & (tf.range(places) >= starts[:, None])  # (B, S)
            alike = tf.matmul(new, s["directions"], transpose_b=True)  # (B, K, S), cosines
            alike = tf.reduce_max(tf.where(there[:, None], alike, -1.0), axis=-1)
            best = tf.argmax((1 - penalty) * tf.exp(likely) - penalty * alike, axis=-1, output_type=tf.int32)  # eq. 5

            def of_best(x):
                return tf.gather(x, best, batch_dims=1)

            chosen = of_best(choices)
            ended = s["ended"] | tf.reduce_any(chosen[:, None] == stops, axis=1)
            here = (tf.range(s["written"].shape[1]) == s["step"])[None] & ~ended[:, None]
            taken = tf.range(batch) * candidates + best
            at = tf.one_hot(s["position"], places)[None, :, None]
            return (
                {
                    "step": s["step"] + 1,
                    "position": s["position"] + 1,
                    "logits": of_best(logits),
                    "cache": tf.nest.map_structure(lambda x: tf.gather(x, taken), cache),
                    "directions": s["directions"] + at * of_best(new)[:, None],
                    "written": tf.where(here, chosen[:, None], s["written"]),
                    "values": tf.where(here, of_best(likely)[:, None], s["values"]),
                    "counts": s["counts"] + tf.cast(~ended, tf.int32),
                    "ended": ended,
                    "broken": s["broken"] | tf.reduce_any(tf.math.is_nan(s["logits"])),
                },
            )

        state = {
            "step": tf.constant(0),
            "position": position,
            "logits": logits,
            "cache": cache,
            "directions": directions,
            "written": tf.zeros((batch, places), tf.int32),
            "values": tf.zeros((batch, places)),
            "counts": tf.zeros(batch, tf.int32),
            "ended": tf.zeros(batch, tf.bool),
            "broken": tf.constant(False),
        }
        s = tf.while_loop(goes_on, step, (state,))[0]
        return s["written"], s["values"], s["counts"], s["broken"]

    return search
