"""Log-probabilities of answers: what every learner from preferences and rewards compares.

Source: Rafailov et al. 2023, arXiv:2305.18290, eq. 7: log pi(y | x) is a sum over the tokens of y.
Shapes: B answers, T tokens, V vocabulary.
"""

from keras import ops

from tfdl.core.batches import PADDING
from tfdl.losses.preference import token_log_probabilities


def answer_log_probabilities(logits, tokens, answered):
    """log p of each token of an answer, given what stands before it.

    Args:
        logits: (B, T, V) of a language model that read `tokens`.
        tokens: (B, T).
        answered: (B, T), 1 at the tokens of answers; the first token of a row is none.

    Returns:
        (B, T) float32, 0 outside of the answers.
    """
    targets = ops.where(answered[:, 1:] > 0, tokens[:, 1:], PADDING)
    return ops.pad(token_log_probabilities(logits[:, :-1], targets), [[0, 0], [1, 0]])
