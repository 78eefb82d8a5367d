"""RoBERTa: BERT, trained longer, on more text, without the task of following sentences, by masks that change.

Paper: Liu et al. 2019, arXiv:1907.11692, section 4; the network is BERT's, with bytes for a vocabulary (section 4.4).
Shapes: B batch, T tokens, V vocabulary, D width, C classes.
"""

from tfdl.core.config import choose_variant
from tfdl.models.text.bert import Bert, BertConfig, with_head

# Positions are counted from the padding token's number on, 1, as in the authors' code; the padding has its row too.
ROBERTA = dict(vocabulary_size=50265, segments=1, padding=1, first_position=2, epsilon=1e-5)
VARIANTS = {
    "nano": BertConfig(
        width=24, depth=2, heads=3, context=32, dropout=0.0, **ROBERTA | {"vocabulary_size": 61}
    ),  # ours
    "tiny": BertConfig(width=128, depth=2, heads=2, **ROBERTA),  # ours, of BERT-Tiny's size
    # Ours, to be trained from scratch on a few thousand texts.
    "small_texts": BertConfig(
        width=128, depth=1, heads=4, context=64, dropout=0.5, **ROBERTA | {"vocabulary_size": 8000}
    ),
    "base": BertConfig(width=768, depth=12, heads=12, **ROBERTA),
    "large": BertConfig(width=1024, depth=24, heads=16, **ROBERTA),
}


def roberta(
    variant="base", *, vocabulary_size=None, context=None, padding=None, head=None, num_classes=None, name="roberta"
):
    """Tokens (B, T) int32, 1 where padded -> what `bert.HEADS` says of `head`; there is no head "pretraining".

    Arguments and errors as for `bert`.
    """
    own = dict(vocabulary_size=vocabulary_size, context=context, padding=padding)
    c = choose_variant(variant, VARIANTS, model="roberta", **own)
    if head == "pretraining":
        raise ValueError("RoBERTa is not trained on following sentences: choose the head 'masked_lm'.")
    model = Bert(with_head(c, head, num_classes), name=name)
    model.build((None, c.context))
    return model
