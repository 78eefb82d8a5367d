"""The update rules of `tfdl.foundations.optimizers` as a Keras optimizer, which can compute what PyTorch does.

    rule = Adam(convention="torch", weight_decay=1e-4)      # as torch.optim.Adam(weight_decay=1e-4): L2, not decoupled
    model.compile(RuleOptimizer(rule, 1e-3, clipnorm=1.0), loss)

Use `keras.optimizers` unless a published result depends on PyTorch's epsilon, momentum, AdaGrad or L2: otherwise the
updates are the same, and Keras's optimizers have more options.
"""

import dataclasses

import keras
import tensorflow as tf
from keras import ops

from tfdl.core.serial import serializable
from tfdl.foundations.optimizers import RULES, Rule
from tfdl.train.schedules import after_warm_up, cosine


def language_model_optimizer(learning_rate, updates, *, weight_decay=0.1):
    """AdamW with GPT-3's clipping and decay (Brown et al. 2020, arXiv:2005.14165, appendix B).

    The learning rate rises for a twentieth of the updates and then falls along a cosine to zero.  beta_2 is nanoGPT's:
    short trainings of small batches see few gradients to average.
    """
    return keras.optimizers.AdamW(
        after_warm_up(cosine, learning_rate, updates, part=0.05),
        weight_decay=weight_decay,
        beta_2=0.99,
        global_clipnorm=1.0,
    )


@serializable
class RuleOptimizer(keras.optimizers.Optimizer):
    """Applies a rule of `tfdl.foundations.optimizers` to every weight.

    Args:
        rule: `SGD(...)`, `AdaGrad(...)`, `RMSprop(...)`, `Adam(...)` or `AdamW(...)`, including the weight decay.
        learning_rate: number >= 0 or a `LearningRateSchedule`.
        options: Keras's own: `clipnorm`, `clipvalue`, `global_clipnorm`, `use_ema`, `name` ...  As in PyTorch, clipping
            applies to the gradient without the weight decay.

    Raises:
        ValueError: `rule` isn't one of those, the learning rate is negative, or `weight_decay` is given outside the
            rule.
    """

    def __init__(self, rule, learning_rate, **options):
        if not isinstance(rule, Rule):
            names = ", ".join(f"{cls.__name__}()" for cls in RULES.values())
            raise ValueError(f"rule={rule!r} is not a rule of tfdl.foundations.optimizers; give one of {names}.")
        if isinstance(learning_rate, (int, float)):
            if learning_rate < 0:
                raise ValueError(f"learning_rate={learning_rate} would increase the loss; give 0 or more.")
            learning_rate = float(learning_rate)
        if options.pop("weight_decay", None) is not None:
            raise ValueError(f"Give weight_decay to the rule, as in {type(rule).__name__}(weight_decay=...).")
        super().__init__(learning_rate, **options)
        self.rule = rule

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        slots = self.rule.slots()
        starts = [keras.initializers.Constant(start) for start in slots.values()]
        self._slots = dict(zip(slots, self.add_optimizer_variables(variables, list(slots), starts) if slots else ()))

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        slots = {name: slot[index] for name, slot in self._slots.items()}
        rule = self.rule if self._use_weight_decay(variable) else dataclasses.replace(self.rule, weight_decay=0.0)
        weight, state = rule(
            tf.convert_to_tensor(variable),
            ops.cast(tf.convert_to_tensor(gradient), variable.dtype),  # an embedding's sparse gradient becomes dense
            {name: ops.convert_to_tensor(slot) for name, slot in slots.items()},
            rate=ops.cast(learning_rate, variable.dtype),
            step=ops.cast(self.iterations + 1, variable.dtype),
        )
        for name, slot in slots.items():
            self.assign(slot, state[name])
        self.assign(variable, weight)

    def get_config(self):
        name = next(name for name, cls in RULES.items() if type(self.rule) is cls)
        return super().get_config() | {"rule": {"name": name, **dataclasses.asdict(self.rule)}}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        options = dict(config["rule"])
        return super().from_config(config | {"rule": RULES[options.pop("name")](**options)}, custom_objects)
