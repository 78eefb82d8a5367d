"""Text that is damaged so that a network learns to restore it: masked tokens, missing spans, sentences out of order.

| function          | trains        | what it does to a row                                                          |
|-------------------|---------------|--------------------------------------------------------------------------------|
| mask_tokens       | BERT, RoBERTa | 15 % of the tokens are to be predicted: 80 % masked, 10 % replaced, 10 % kept  |
| corrupt_spans     | T5            | 15 %, in spans of mean length 3, make place for sentinels                      |
| infill            | BART          | 30 %, in spans of Poisson lengths, are replaced by one mask a span             |
| permute_sentences | BART          | sentences in random order                                                      |

Papers: Devlin et al. 2018, arXiv:1810.04805; Liu et al. 2019, arXiv:1907.11692; Raffel et al. 2019, arXiv:1910.10683;
Lewis et al. 2019, arXiv:1910.13461.

Every function is pure in `seed` (2) int64: with the seed of a batch the damage is another in each epoch, and the same
in a run that is resumed.  Rows are token numbers (B, T) int32 of a known T, with `padding` at their end only.
Shapes: B rows, T tokens, S spans at most, V vocabulary.
"""

import numpy as np
import tensorflow as tf

from tfdl.core.batches import PADDING

MASKED, REPLACED = 0.8, 0.1  # of the tokens to predict; the rest stays (Devlin et al., section 3.1)


def mask_tokens(tokens, seed, *, mask, ordinary, rate=0.15):
    """Masked language modeling: Devlin et al., section 3.1 and appendix A.1.

    In every row round(rate * n) of its n ordinary tokens are to be predicted, and at least one if there are any.

    Args:
        mask: number of the mask token.
        ordinary: (V,) bool, False for special tokens and padding: these are neither predicted nor put in anywhere.

    Returns:
        inputs (B, T); targets (B, T): the token that was there, PADDING where nothing is to be predicted.
    """
    seeds = tf.random.experimental.stateless_split(seed, 3)
    maskable = tf.gather(tf.constant(ordinary), tokens)
    hidden = choose(maskable, share(rate, count(maskable)), seeds[0])
    fate = tf.random.stateless_uniform(tf.shape(tokens), seeds[1])
    words = tf.constant(np.flatnonzero(ordinary), tf.int32)
    words = tf.gather(words, tf.random.stateless_uniform(tf.shape(tokens), seeds[2], 0, len(words), tf.int32))
    shown = tf.where(fate < MASKED, mask, tf.where(fate < MASKED + REPLACED, words, tokens))
    return tf.where(hidden, shown, tokens), tf.where(hidden, tokens, PADDING)


def corrupt_spans(tokens, seed, *, padding, sentinel, rate=0.15, mean=3):
    """Span corruption: Raffel et al., section 3.1.4 and Fig. 2, with section 3.3.4's mean length of 3.

    A row of n tokens loses round(rate * n) of them in round(that / mean) spans; all ways to choose the lengths are
    equally likely, and so are all places between which at least one token is left.  The i-th span makes place for the
    sentinel number `sentinel` - i; the target has each sentinel before its span, and one more sentinel at the end.

    Args:
        sentinel: number of the first sentinel, the last row of T5's vocabulary.

    Returns:
        source (B, T - noise + S), target (B, noise + S + 1), for the noise and the spans of a full row.

    Raises:
        ValueError: rows of fewer than 3 tokens.
    """
    length = tokens.shape[1]
    if length < 3:
        raise ValueError(f"Rows have {length} tokens; a span needs one on either side, so give rows of 3 or more.")
    seeds = tf.random.experimental.stateless_split(seed, 2)
    real = tokens != padding
    n = count(real)
    noise, spans = noise_of(n, rate, mean)
    with tf.init_scope():  # plain numbers, also where this is traced
        most, most_spans = (int(number) for number in noise_of(length, rate, mean))
    last = ends_of_parts(noise, spans, most, seeds[0])[:, :most_spans]  # tokens lost up to the end of each span
    kept = ends_of_parts(n - noise, spans + 1, length - most, seeds[1])[:, :most_spans]  # left before each span
    starts, ends = kept + shifted(last), kept + last
    lost = inside(starts, ends, length)
    number = tf.range(most_spans + 1)
    sentinels = tf.zeros_like(n)[:, None] + sentinel - number
    places = tf.concat([starts, n[:, None]], 1)
    source = arrange(tokens, real & ~lost, sentinels, places, number < spans[:, None], padding)
    target = arrange(tokens, lost, sentinels, places, number <= spans[:, None], padding)
    return source[:, : length - most + most_spans], target[:, : most + most_spans + 1]


def infill(tokens, seed, *, mask, padding, rate=0.3, mean=3.0):
    """Text infilling: Lewis et al., section 2.2, with section 5.1's 30 %.

    Spans are drawn until they cover round(rate * n) of a row's n tokens, and the last is cut to end there.  Each is
    replaced by one mask; one of length 0 puts a mask between two tokens.  There are at most as many spans as tokens to
    cover, and the last possible one takes all that are left: a row never becomes longer.

    Returns:
        (B, T).
    """
    seeds = tf.random.experimental.stateless_split(seed, 2)
    real = tokens != padding
    n = count(real)
    budget = share(rate, n)
    with tf.init_scope():
        spans = int(share(rate, tokens.shape[1]))
    lengths = tf.random.stateless_poisson((tf.shape(tokens)[0], spans), seeds[0], mean, tf.int32)
    last = tf.where(tf.range(spans) < budget[:, None] - 1, tf.cumsum(lengths, 1), budget[:, None])
    last = tf.minimum(last, budget[:, None])
    used = shifted(last) < budget[:, None]
    left = (n - budget)[:, None]
    anywhere = tf.random.stateless_uniform(tf.shape(used), seeds[1])
    kept = tf.cast(anywhere * tf.cast(left + 1, tf.float32), tf.int32)  # 0 ... left
    kept = tf.sort(tf.where(used, tf.minimum(kept, left), left))
    starts, ends = kept + shifted(last), kept + last
    lost = inside(starts, ends, tokens.shape[1])
    return arrange(tokens, real & ~lost, tf.fill(tf.shape(used), mask), starts, used, padding)[:, : tokens.shape[1]]


def permute_sentences(tokens, seed, *, stops, padding):
    """Sentences, which end with a full stop, in random order: Lewis et al., section 2.2.

    Args:
        stops: (V,) bool, True for tokens that end a sentence.

    Returns:
        (B, T).
    """
    ends = tf.cast(tf.gather(tf.constant(stops), tokens), tf.int32)
    sentence = tf.cumsum(ends, 1, exclusive=True)
    turns = tf.gather(tf.random.stateless_uniform(tf.shape(tokens), seed), sentence, batch_dims=1)
    turns = tf.where(tokens == padding, 1.0, turns)
    return tf.gather(tokens, tf.argsort(turns, stable=True), batch_dims=1)


def surround(tokens, *, start, end, padding):
    """Start token, row, end token.  (B, T) -> (B, T + 2)"""
    n = count(tokens != padding)
    places = tf.stack([tf.zeros_like(n), n], 1)
    symbols = tf.zeros_like(places) + tf.constant([start, end])
    return arrange(tokens, tokens != padding, symbols, places, tf.ones_like(places, tf.bool), padding)


# Parts


def count(mask):
    """(B, T) bool -> (B,) int32."""
    return tf.reduce_sum(tf.cast(mask, tf.int32), 1)


def share(rate, n):
    """round(rate * n), at least 1 and at most n.  int32"""
    n = tf.convert_to_tensor(n)
    wanted = tf.cast(tf.round(rate * tf.cast(n, tf.float32)), tf.int32)
    return tf.minimum(tf.maximum(wanted, 1), n)


def noise_of(n, rate, mean):
    """Tokens and spans that a row of n tokens loses: two of its tokens, on the outside, always stay."""
    noise = tf.minimum(share(rate, n), tf.maximum(tf.convert_to_tensor(n) - 2, 0))
    return noise, tf.minimum(share(1 / mean, noise), tf.convert_to_tensor(n) - noise - 1)


def choose(allowed, number, seed):
    """`number` (B,) of the places (B, T) where `allowed`, all sets of them equally likely.  -> (B, T) bool"""
    scores = tf.where(allowed, tf.random.stateless_uniform(tf.shape(allowed), seed), 1.0)
    ranks = tf.argsort(tf.argsort(scores, stable=True), stable=True)
    return ranks < number[:, None]


def ends_of_parts(total, parts, most, seed):
    """Cuts 0 ... total - 1 into as many `parts`, none empty; all ways to do so are equally likely.

    Args:
        total, parts: (B,), of which `total` is at most `most`.

    Returns:
        (B, most): where each part ends, and `total` again after the last.
    """
    places = tf.range(1, most)
    cuts = choose(places < total[:, None], parts - 1, seed)
    ends = tf.where(cuts, places, total[:, None])
    return tf.sort(tf.concat([ends, total[:, None]], 1))


def shifted(ends):
    """The ends before: (B, S) -> the same, with 0 in front and without the last."""
    return tf.pad(ends[:, :-1], [[0, 0], [1, 0]])


def inside(starts, ends, length):
    """Places that lie in a span, for spans (B, S) in order: start <= place < end.  -> (B, length) bool"""
    places = tf.zeros_like(starts[:, :1]) + tf.range(length)
    return tf.searchsorted(starts, places, "right") > tf.searchsorted(ends, places, "right")


def arrange(tokens, kept, symbols, places, used, padding):
    """The tokens that are `kept`, with the symbols that are `used` before the tokens at their `places`, then padding.

    Args:
        tokens, kept: (B, T).
        symbols, places, used: (B, S), places in order, from 0 to T.

    Returns:
        (B, T + S).
    """
    there = tf.concat([kept, used], 1)
    items = tf.where(there, tf.concat([tokens, symbols], 1), padding)
    own = tf.zeros_like(tokens) + 2 * tf.range(tokens.shape[1]) + 1
    order = tf.where(there, tf.concat([own, 2 * places], 1), tf.int32.max)
    return tf.gather(items, tf.argsort(order, stable=True), batch_dims=1)
