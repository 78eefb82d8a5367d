"""Distillation: a small model learns a large one's probabilities, or the texts that it writes.

    learner = Distillation(student, teacher, temperature=2.0)
    learner.compile("adamw")
    learner.fit(data.train)                                     # tokens and targets, as a language model has them
    texts = written_by(teacher, prompts, tokenizer, ...)        # the teacher's own answers, to learn from as from data

Papers: Hinton et al. 2015, arXiv:1503.02531, section 2; a teacher's texts: Kim & Rush 2016, arXiv:1606.07947,
section 3.2 (sequence-level distillation).
Shapes: B batch, T tokens, V vocabulary.
"""

import keras
from keras import ops

from tfdl.core.gradients import mean_over
from tfdl.core.serial import serializable
from tfdl.learners.learner import TextLearner
from tfdl.losses.distillation import soft_divergence
from tfdl.losses.preference import answered
from tfdl.losses.tokens import token_cross_entropy


@serializable
class Distillation(TextLearner):
    """tokens (B, T) -> logits of student and teacher.

        loss = weight T^2 KL(teacher at T || student at T) + (1 - weight) cross entropy, a mean over the targets

    Args:
        network: the student.
        teacher: a network of the same vocabulary; it is frozen.
        temperature: T, which divides both logits; the factor T^2 keeps the size of the gradients (section 2.1).
        weight: of the teacher's part, 0 to 1.

    Raises:
        ValueError: another vocabulary, or a number out of its range.
    """

    def __init__(self, network, teacher, temperature=2.0, weight=0.9, **kwargs):
        super().__init__(network, **kwargs)
        sizes = network.config.vocabulary_size, teacher.config.vocabulary_size
        if sizes[0] != sizes[1]:
            raise ValueError(f"The student has {sizes[0]} tokens and the teacher {sizes[1]}; give both one vocabulary.")
        if temperature <= 0:
            raise ValueError(f"temperature is {temperature}; give more than 0.")
        if not 0 <= weight <= 1:
            raise ValueError(f"weight is {weight}; give 0 to 1.")
        self.teacher = teacher
        self.temperature = temperature
        self.weight = weight
        teacher.trainable = False
        self.divergence = keras.metrics.Mean(name="divergence")

    def call(self, tokens, training=False):
        return {
            "student": self.network(tokens, training=training),
            "teacher": ops.stop_gradient(self.teacher(tokens, training=False)),
        }

    def parts(self, targets, logits):
        """Sums over the targets of both parts, and the number of targets."""
        mask = answered(targets)
        soft = soft_divergence(logits["teacher"], logits["student"], self.temperature)  # (B, T)
        hard = token_cross_entropy(targets, logits["student"])
        return ops.sum(soft * mask), ops.sum(hard), ops.sum(mask)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        soft, hard, number = self.parts(y, y_pred)
        return mean_over(self.weight * self.temperature**2 * soft + (1 - self.weight) * hard, number)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        soft, _, number = self.parts(y, y_pred)
        self.divergence.update_state(soft / ops.maximum(number, 1.0), sample_weight=number)
        return self.get_metrics_result()


def written_by(teacher, prompts, *, decode, **options):
    """What a teacher answers to prompts, as texts to learn from.

    Args:
        teacher: a language model.
        prompts: token numbers, one sequence for each text.
        decode: a function from token numbers to their text.
        options: of `generate`, such as `new_tokens` and `stop_tokens`.

    Returns:
        list of texts.
    """
    return [decode(tokens) for tokens in teacher.generate(prompts, **options).tokens]
