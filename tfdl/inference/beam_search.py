"""The likeliest text that several hypotheses side by side find.

    answer = model.beam_search(prompts, beams=4, new_tokens=40, stop_tokens=[tokenizer.special["end"]])

Source: Wu et al. 2016, arXiv:1609.08144, section 7; a hypothesis scores its log-probability over length ** penalty, as
in transformers.
Shapes: B prompts, K beams, N places for new tokens, V vocabulary.
"""

import tensorflow as tf

from tfdl.inference.generation import Generated, extended, kept_by, read, refuse_nan
from tfdl.inference.sampling import IMPOSSIBLE


def beam_search(model, prompts, *, beams=4, new_tokens=64, stop_tokens=(), start=None, length_penalty=1.0):
    """The best of `beams` hypotheses for each prompt.

    A hypothesis ends with a stop token, which counts in its length, or after `new_tokens`.  The search ends when no
    open hypothesis would score more, at its present length, than the worst of `beams` ended ones.

    Args:
        beams: K, hypotheses that are kept at each step.
        length_penalty: exponent of the length; above 0 favors longer texts.
        model, prompts, new_tokens, stop_tokens, start: as for `generate`.

    Returns:
        Generated

    Raises:
        ValueError, FloatingPointError: as `generate`, or `beams` is below 1.
    """
    if beams < 1:
        raise ValueError(f"beams is {beams}; give 1 or more.")
    prompts = read(model, prompts, new_tokens, start, copies=beams)
    key = ("beams", beams, new_tokens, float(length_penalty))
    search = kept_by(model, key, lambda: tf.function(searcher(model, *key[1:]), autograph=False))
    stops = tf.constant(list(stop_tokens), tf.int32)
    tokens, values, counts, broken = search(prompts.logits, prompts.cache, prompts.position, prompts.starts, stops)
    refuse_nan(model, broken)
    rows = list(zip(tokens.numpy(), values.numpy(), counts.numpy()))
    return Generated([row[:count] for row, _, count in rows], [row[:count] for _, row, count in rows])


def searcher(model, beams, new_tokens, length_penalty):
    """The loop: (logits (BK, V), cache, position, starts (BK), stop tokens) -> the best text (B, N) of each prompt, the
    log-probabilities of its tokens (B, N), its length (B,), and whether a logit was NaN."""

    def score(total, length):
        return total / tf.cast(length, tf.float32) ** length_penalty

    def search(logits, cache, position, starts, stops):
        batch, size = logits.shape[0] // beams, logits.shape[1]

        def goes_on(s):
            possible = score(s["totals"][:, 0], tf.maximum(s["step"], 1))
            return (s["step"] < new_tokens) & tf.reduce_any(possible > s["best"][:, -1])

        def step(s):
            i = s["step"]
            values = tf.reshape(tf.nn.log_softmax(s["logits"]), (batch, beams, size))
            totals, places = tf.math.top_k(tf.reshape(values + s["totals"][..., None], (batch, -1)), 2 * beams)
            parents, tokens = places // size, places % size  # (B, 2K)
            here = tf.range(new_tokens) == i
            written = tf.where(here, tokens[..., None], tf.gather(s["written"], parents, batch_dims=1))
            own = tf.gather(tf.reshape(values, (batch, -1)), places, batch_dims=1)
            kept = tf.where(here, own[..., None], tf.gather(s["values"], parents, batch_dims=1))

            # The likeliest K may end: by a stop token, or as long as can be
            is_stop = tf.reduce_any(tokens[..., None] == stops, axis=-1)
            ends = (is_stop | (i + 1 == new_tokens)) & (tf.range(2 * beams) < beams)
            scores = tf.concat([s["best"], tf.where(ends, score(totals, i + 1), IMPOSSIBLE)], axis=1)  # (B, 3K)
            best, chosen = tf.math.top_k(scores, beams)
            lengths = i + 1 - tf.cast(is_stop, tf.int32)  # without the stop token
            ended = {
                name: tf.gather(tf.concat([s[name], new], axis=1), chosen, batch_dims=1)
                for name, new in (("texts", written), ("text_values", kept), ("lengths", lengths))
            }

            # The likeliest K of the others go on
            totals, going = tf.math.top_k(tf.where(is_stop, IMPOSSIBLE, totals), beams)
            parents, tokens, written, kept = (
                tf.gather(x, going, batch_dims=1) for x in (parents, tokens, written, kept)
            )
            rows = tf.reshape(tf.range(batch)[:, None] * beams + parents, (-1,))
            cache = tf.nest.map_structure(lambda x: tf.gather(x, rows), s["cache"])
            new_logits, cache = extended(model, tf.reshape(tokens, (-1,)), cache, s["position"], starts)
            going_on = {"totals": totals, "written": written, "values": kept, "logits": new_logits, "cache": cache}
            broken = s["broken"] | tf.reduce_any(tf.math.is_nan(s["logits"]))
            return (
                s | ended | going_on | {"best": best, "step": i + 1, "position": s["position"] + 1, "broken": broken},
            )

        nothing, no_values = (tf.zeros((batch, beams, new_tokens), dtype) for dtype in (tf.int32, tf.float32))
        first = tf.tile(tf.where(tf.range(beams) == 0, 0.0, IMPOSSIBLE)[None], (batch, 1))  # all beams are equal yet
        state = {
            "step": tf.constant(0),
            "position": position,
            "logits": logits,
            "cache": cache,
            "totals": first,  # log-probabilities of open hypotheses, largest first
            "written": nothing,
            "values": no_values,
            "best": tf.fill((batch, beams), IMPOSSIBLE),  # scores of ended ones, largest first
            "texts": nothing,
            "text_values": no_values,
            "lengths": tf.zeros((batch, beams), tf.int32),
            "broken": tf.constant(False),
        }
        s = tf.while_loop(goes_on, step, (state,))[0]
        return s["texts"][:, 0], s["text_values"][:, 0], s["lengths"][:, 0], s["broken"]

    return search
