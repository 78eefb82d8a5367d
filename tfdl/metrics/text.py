"""Metrics of text: perplexity, and how near translations come to those of people.

Sources: Jelinek et al. 1977, Journal of the Acoustical Society of America 62(S1), for perplexity; Papineni et al. 2002,
ACL, for BLEU; Post 2018, arXiv:1804.08771, for the way to compute it so that numbers can be compared.
Shapes: B batch, T tokens, V vocabulary.
"""

import keras
from keras import ops
from sacrebleu.metrics import BLEU

from tfdl.core.batches import PADDING
from tfdl.core.serial import serializable


@serializable
class Perplexity(keras.metrics.Mean):
    """exp of the mean nats of all tokens that are no PADDING: among how many equally likely ones a model chooses.

    The loss that Keras logs is a mean of batches' means, in which a token of a batch of short texts counts more.
    """

    def __init__(self, name="perplexity", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Targets (B, T) and logits (B, T, V); `sample_weight` broadcasts to (B, T)."""
        weights = ops.cast(ops.not_equal(y_true, PADDING), self.dtype)
        if sample_weight is not None:
            sample_weight = ops.convert_to_tensor(sample_weight, self.dtype)
            weights = weights * (sample_weight[:, None] if len(sample_weight.shape) == 1 else sample_weight)
        nats = keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True, ignore_class=PADDING)
        # Flat: Keras would take the mean over T first, and tokens of long batches would count less.
        return super().update_state(ops.reshape(nats, [-1]), sample_weight=ops.reshape(weights, [-1]))

    def result(self):
        return ops.exp(super().result())


def translation_scores(translations, references, *, lowercase=False):
    """How translations compare with those of people.

    Prints sacrebleu's signature, which says what was compared.

    Args:
        translations, references: as many texts, as people write them: sacrebleu splits words from signs itself.
        lowercase: compare in lower case, for models that write nothing else.

    Returns:
        dict: "exact_accuracy", the fraction that is word for word the same, and "bleu", 0 to 100, of them all together.

    Raises:
        ValueError: not as many translations as references, or none.
    """
    if not translations or len(translations) != len(references):
        raise ValueError(f"There are {len(translations)} translations of {len(references)} texts; give one for each.")
    if lowercase:
        translations, references = ([text.lower() for text in texts] for texts in (translations, references))
    alike = (written.split() == text.split() for written, text in zip(translations, references))
    metric = BLEU(lowercase=lowercase)  # which its signature then says
    bleu = metric.corpus_score(list(translations), [list(references)]).score
    print(f"BLEU {metric.get_signature()}")
    return {"exact_accuracy": sum(alike) / len(references), "bleu": bleu}
