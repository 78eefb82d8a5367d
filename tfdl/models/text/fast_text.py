"""fastText: the words of a text, and runs of them, embedded, averaged, and classified: no order, no depth.

Papers: Joulin et al. 2016, arXiv:1607.01759, section 2; words that are left out in training: Iyyer et al. 2015, "Deep
unordered composition rivals syntactic methods for text classification", section 3.2.
Shapes: B batch, T tokens, N tokens and n-grams, D width, C classes.
"""

import keras
from keras import layers, ops

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.ops.ngrams import hashed_ngrams


@config
class FastTextConfig:
    """One network: a table of vectors for tokens and for buckets of n-grams, and a classifier."""

    vocabulary_size: int  # V
    width: int  # D
    longest: int = 2  # tokens of an n-gram; 1 has none
    buckets: int = 50_021  # of n-grams
    word_dropout: float = 0.3  # tokens and n-grams that are left out in training; Iyyer et al., section 5.1
    dropout: float = 0.5  # on the mean
    padding: int = 0  # the token that stands for nothing


VARIANTS = {
    "nano": FastTextConfig(vocabulary_size=61, width=6, buckets=29, word_dropout=0.0, dropout=0.0),  # ours, for tests
    # Ours, for a few thousand texts, in which most pairs are new: with them SST-2's validation accuracy fell by 0.02.
    "small_texts": FastTextConfig(vocabulary_size=30_000, width=16, longest=1),
    # The paper's, section 3.1: 10 numbers for each word and pair of words, 10 million buckets there.
    "bigrams": FastTextConfig(vocabulary_size=100_000, width=10, buckets=250_000, word_dropout=0.0, dropout=0.0),
}


def fast_text(
    variant="small_texts", *, vocabulary_size=None, padding=None, num_classes=2, length=None, name="fast_text"
):
    """Tokens (B, T) int32 -> logits (B, C) float32.

    Padding may stand behind a text or before it: it changes nothing.

    Args:
        variant: a row of VARIANTS or a FastTextConfig.
        vocabulary_size, padding: in place of the variant's.
        num_classes: C; None for the mean (B, D) in place of logits.
        length: T; None for any.  Phones need it fixed.

    Raises:
        ValueError: an unknown variant, or an argument out of range.
    """
    c = choose_variant(variant, VARIANTS, model="fast_text", vocabulary_size=vocabulary_size, padding=padding)
    check_num_classes(num_classes)
    tokens = keras.Input((length,), dtype="int32", name="tokens")
    rows, masks = [tokens], [ops.not_equal(tokens, c.padding)]
    for n in range(2, c.longest + 1):
        buckets, whole = hashed_ngrams(tokens, n, c.buckets, c.padding)
        rows.append(c.vocabulary_size + buckets)
        masks.append(whole)
    size = c.vocabulary_size + (c.buckets if c.longest > 1 else 0)
    fresh = keras.initializers.RandomNormal(stddev=0.1)
    x = layers.Embedding(size, c.width, embeddings_initializer=fresh, name="embedding")(ops.concatenate(rows, axis=1))
    if c.word_dropout:
        x = layers.Dropout(c.word_dropout, noise_shape=(None, None, 1), name="word_dropout")(x)  # (B, N, D)
    seen = ops.cast(ops.concatenate(masks, axis=1), x.dtype)[..., None]  # (B, N, 1)
    # Divided by the root of the count, not by the count: the mean of many random vectors would begin near zero.
    x = ops.sum(x * seen, axis=1) / ops.sqrt(ops.maximum(ops.sum(seen, axis=1), 1))  # (B, D)
    if c.dropout:
        x = layers.Dropout(c.dropout, name="dropout")(x)
    if num_classes is not None:
        x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(tokens, x, name=name)
