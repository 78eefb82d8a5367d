"""Where the tokens of a text look, for `figures.alignments`: the attention of an encoder's last block.

    weights, labels = text_attention(model, data.tokenizer, rows)
    run.show("attention", alignments(weights, labels, labels, names=("is looked at", "looks")))

Attention is where a layer takes its numbers from, which need not be why it answers as it does (Jain & Wallace 2019,
"Attention is not explanation", arXiv:1902.10186).
Shapes: T tokens.
"""

import keras
import numpy as np


def text_attention(model, tokenizer, rows):
    """For each row of tokens (T,) the weights (T, T), the token that looks first, and what the tokens are called.

    Args:
        model: has `attention_map`, tokens (B, T) -> (B, T, T).
        tokenizer: `Pieces`.
    """
    weights = [keras.ops.convert_to_numpy(model.attention_map(np.asarray(row)[None]))[0] for row in rows]
    # GPT-2's letters for bytes: of those that are seen, the one for the space is the usual one.
    labels = [[(tokenizer.tokenizer.id_to_token(int(token)) or "?").replace("Ġ", "␣") for token in row] for row in rows]
    return weights, labels
