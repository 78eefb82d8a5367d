"""Update rules of optimizers, written from their papers: SGD, AdaGrad, RMSprop, Adam, AdamW.

A rule is a frozen set of hyperparameters and one pure function of arrays:

    rule = Adam(beta_1=0.9)
    state = rule.start(weight)                                               # {"m": zeros, "v": zeros}
    weight, state = rule(weight, gradient, state, rate=0.001, step=1)        # step counts from 1

Only arithmetic operators are used, so the rules work on NumPy arrays and Keras tensors of any shape and floating dtype;
`tfdl.train.optimizers` uses this code in training.  `g` is the gradient, `rate` the learning rate; all operations are
elementwise.  Keras 3 and PyTorch define different updates under the same names; `convention` chooses where they differ:

| what                           | convention="keras"                 | convention="torch"                       |
|--------------------------------|------------------------------------|------------------------------------------|
| SGD, RMSprop: momentum         | includes rate: u = a u + rate g    | without rate: u = a u + g, step = rate u |
| Adam, AdamW: epsilon           | before the bias correction, 1e-7   | after it, 1e-8                           |
| RMSprop: epsilon               | inside the root, 1e-7              | outside it, 1e-8                         |
| RMSprop: rho                   | 0.9                                | 0.99                                     |
| AdaGrad: epsilon               | inside the root, 1e-7              | outside it, 1e-10                        |
| AdaGrad: sum of squares starts | at 0.1                             | at 0                                     |
| weight decay                   | decoupled in every rule            | L2 in the gradient, decoupled in AdamW   |
| AdamW: weight decay            | 0.004                              | 0.01                                     |

The two momenta are equal until the learning rate changes: then Keras's velocity still contains the old one.
"""

import dataclasses
from dataclasses import dataclass
from numbers import Real

import numpy as np

CONVENTIONS = ("keras", "torch")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Base class of all rules; a rule adds its hyperparameters, its slots and its `increment`.

    Args:
        convention: "keras" or "torch"; a hyperparameter of None takes that library's default.
        weight_decay: lambda >= 0.  Coupled, the gradient of lambda/2 |w|^2 is added to g,
            w <- w - increment(g + lambda w).  Decoupled (Loshchilov & Hutter 2019, arXiv:1711.05101, eq. 1, here times
            the learning rate), it shrinks all weights by the same factor, w <- (1 - rate lambda) w - increment(g).

    Raises:
        ValueError: an unknown convention, a decay rate outside [0, 1), epsilon = 0, which would divide 0 by 0 for a
            gradient of 0, or a negative or infinite number.
    """

    defaults = {"keras": {}, "torch": {}}  # convention -> what None stands for
    coupled = ("torch",)  # conventions that add weight decay to the gradient

    convention: str = "keras"
    weight_decay: float | None = 0.0

    def __post_init__(self):
        if self.convention not in CONVENTIONS:
            raise ValueError(f"convention={self.convention!r} is unknown; choose one of {', '.join(CONVENTIONS)}.")
        for name, value in self.defaults[self.convention].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in ("momentum", "rho", "beta_1", "beta_2") and not 0 <= value < 1:
                raise ValueError(f"{type(self).__name__}: {field.name}={value} should be at least 0 and below 1.")
            if field.name in ("weight_decay", "initial") and not 0 <= value < np.inf:
                raise ValueError(f"{type(self).__name__}: {field.name}={value} should be finite and 0 or more.")
            if field.name == "epsilon" and not 0 < value < np.inf:
                raise ValueError(f"{type(self).__name__}: epsilon={value} should be finite and above 0.")

    def slots(self):
        """Name -> initial value of each state array."""
        raise NotImplementedError

    def increment(self, gradient, state, rate, step):
        """The paper's equation.  Returns the amount to subtract from the weight, and the new state."""
        raise NotImplementedError

    def start(self, weight):
        """The state before step 1: name -> array of the weight's shape and dtype."""
        return {name: 0 * weight + value for name, value in self.slots().items()}

    def __call__(self, weight, gradient, state, *, rate, step):
        """One update.

        Args:
            weight, gradient: arrays of one shape.
            state: from `start` or from the last call; it isn't changed.
            rate: learning rate of this step, a scalar.
            step: 1 for the first update; an integer, or a scalar of the weight's dtype.

        Returns:
            the new weight and the new state.

        Raises:
            ValueError: a number below 1 as the step, for which the bias correction would divide by 0.
        """
        if isinstance(step, Real) and not step >= 1:
            raise ValueError(f"step={step} should be 1 or more: the first update is step 1.")
        if self.weight_decay and self.convention in self.coupled:
            gradient = gradient + self.weight_decay * weight
        elif self.weight_decay:
            weight = weight - rate * self.weight_decay * weight
        increment, state = self.increment(gradient, state, rate, step)
        return weight - increment, state


@dataclass(frozen=True, kw_only=True)
class SGD(Rule):
    """Gradient descent, with the momentum of Polyak 1964 or Nesterov 1983 (Sutskever et al. 2013, eq. 1-4).

        plain       increment = rate g
        keras       u <- a u + rate g;    increment = u;         Nesterov: increment = a u + rate g
        torch       u <- a u + g;         increment = rate u;    Nesterov: increment = rate (a u + g)

    Nesterov's gradient is taken at the point ahead, w plus the momentum step; as usual (Bengio et al. 2013,
    arXiv:1212.0901) the weight variable stores that point.
    """

    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self):
        super().__post_init__()
        if self.nesterov and not self.momentum:
            raise ValueError("SGD: nesterov=True needs momentum; give for example momentum=0.9.")

    def slots(self):
        return {"velocity": 0.0} if self.momentum else {}

    def increment(self, gradient, state, rate, step):
        if not self.momentum:
            return rate * gradient, {}
        before, after = (rate, 1) if self.convention == "keras" else (1, rate)
        velocity = self.momentum * state["velocity"] + before * gradient
        ahead = self.momentum * velocity + before * gradient if self.nesterov else velocity
        return after * ahead, {"velocity": velocity}


@dataclass(frozen=True, kw_only=True)
class AdaGrad(Rule):
    """One learning rate per weight, falling with its past gradients.  Duchi et al. 2011, JMLR 12, fig. 1 (diagonal).

        s <- s + g^2
        keras       increment = rate g / sqrt(s + epsilon);      s starts at 0.1
        torch       increment = rate g / (sqrt(s) + epsilon);    s starts at 0

    From 0, the first step equals the learning rate for any gradient; from 0.1, small gradients make small steps.
    """

    defaults = {"keras": {"epsilon": 1e-7, "initial": 0.1}, "torch": {"epsilon": 1e-10, "initial": 0.0}}

    epsilon: float | None = None
    initial: float | None = None

    def slots(self):
        return {"squares": self.initial}

    def increment(self, gradient, state, rate, step):
        squares = state["squares"] + gradient * gradient
        return rate * gradient / root(squares, self.epsilon, self.convention), {"squares": squares}


@dataclass(frozen=True, kw_only=True)
class RMSprop(Rule):
    """Moving-average AdaGrad.  Tieleman & Hinton 2012, lecture 6e; centered: Graves 2013, arXiv:1308.0850, eq. 38-41.

        v <- rho v + (1 - rho) g^2;    centered: m <- rho m + (1 - rho) g as well, and v - m^2 replaces v below
        keras       n = g / sqrt(v + epsilon);      u <- a u + rate n;    increment = u
        torch       n = g / (sqrt(v) + epsilon);    u <- a u + n;         increment = rate u

    Without momentum a = 0 both are increment = rate n.
    """

    defaults = {"keras": {"rho": 0.9, "epsilon": 1e-7}, "torch": {"rho": 0.99, "epsilon": 1e-8}}

    rho: float | None = None
    momentum: float = 0.0
    centered: bool = False
    epsilon: float | None = None

    def slots(self):
        return dict.fromkeys(["v"] + ["m"] * self.centered + ["velocity"] * (self.momentum > 0), 0.0)

    def increment(self, gradient, state, rate, step):
        new = {"v": self.rho * state["v"] + (1 - self.rho) * gradient * gradient}
        variance = new["v"]
        if self.centered:
            new["m"] = self.rho * state["m"] + (1 - self.rho) * gradient
            variance = variance - new["m"] * new["m"]
            variance = (variance + abs(variance)) / 2  # at least 0: rounding could make it negative and its root NaN
        direction = gradient / root(variance, self.epsilon, self.convention)
        if not self.momentum:
            return rate * direction, new
        before, after = (rate, 1) if self.convention == "keras" else (1, rate)
        new["velocity"] = self.momentum * state["velocity"] + before * direction
        return after * new["velocity"], new


def root(squares, epsilon, convention):
    """The denominator of AdaGrad and RMSprop: epsilon inside the root (Keras) or outside it (PyTorch)."""
    return (squares + epsilon) ** 0.5 if convention == "keras" else squares**0.5 + epsilon


@dataclass(frozen=True, kw_only=True)
class Moments(Rule):
    """The equations of Adam and AdamW, Kingma & Ba 2015, arXiv:1412.6980.

        m <- beta_1 m + (1 - beta_1) g              v <- beta_2 v + (1 - beta_2) g^2
        m_hat = m / (1 - beta_1^t)                  v_hat = v / (1 - beta_2^t)
        torch       increment = rate m_hat / (sqrt(v_hat) + epsilon)                                  Algorithm 1
        keras       increment = rate sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon)      end of section 2

    The second form saves two divisions per weight.  Its epsilon is the paper's "epsilon hat": it equals
    Algorithm 1 with epsilon / sqrt(1 - beta_2^t), in step 1 about 32 times as much.
    """

    defaults = {"keras": {"epsilon": 1e-7}, "torch": {"epsilon": 1e-8}}

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float | None = None

    def slots(self):
        return {"m": 0.0, "v": 0.0}

    def increment(self, gradient, state, rate, step):
        m = self.beta_1 * state["m"] + (1 - self.beta_1) * gradient
        v = self.beta_2 * state["v"] + (1 - self.beta_2) * gradient * gradient
        unbias_m, unbias_v = 1 - self.beta_1**step, 1 - self.beta_2**step
        if self.convention == "keras":
            increment = rate * unbias_v**0.5 / unbias_m * m / (v**0.5 + self.epsilon)
        else:
            increment = rate * (m / unbias_m) / ((v / unbias_v) ** 0.5 + self.epsilon)
        return increment, {"m": m, "v": v}


@dataclass(frozen=True, kw_only=True)
class Adam(Moments):
    """Adam; PyTorch's adds weight decay to the gradient, where division by sqrt(v) cancels most of its effect."""


@dataclass(frozen=True, kw_only=True)
class AdamW(Moments):
    """Adam with decoupled weight decay.  Loshchilov & Hutter 2019, arXiv:1711.05101, Algorithm 2.

    The paper multiplies lambda by the schedule alone; both libraries multiply it by the learning rate, as `Rule` does.
    """

    defaults = {"keras": {"epsilon": 1e-7, "weight_decay": 0.004}, "torch": {"epsilon": 1e-8, "weight_decay": 0.01}}
    coupled = ()

    weight_decay: float | None = None


RULES = {"sgd": SGD, "adagrad": AdaGrad, "rmsprop": RMSprop, "adam": Adam, "adamw": AdamW}


def descend(rule, gradient, start, *, rate, steps):
    """Minimizes a function with `rule` from `start`.

    Args:
        gradient: (...) -> (...), the gradient of the function at a point.
        start: the first point, any shape.
        rate: the learning rate, a positive number, or a sequence of at least `steps` of them.
        steps: number of updates >= 0.

    Returns:
        the path (steps + 1, ...) with `start` as its first row, float64.

    Raises:
        ValueError: a learning rate is not positive, there are too few of them, or `steps` is negative.
    """
    if steps < 0:
        raise ValueError(f"steps={steps} is not a number of updates; give 0 or more.")
    rates = np.broadcast_to(rate, steps) if np.ndim(rate) == 0 else np.asarray(rate, "float64")
    if len(rates) < steps or not np.all(rates > 0):
        raise ValueError(f"rate={rate} should be a positive number, or {steps} of them, one per step.")
    path = np.empty((steps + 1, *np.shape(start)))
    path[0] = point = np.asarray(start, "float64")
    state = rule.start(point)
    for step in range(1, steps + 1):
        point, state = rule(point, gradient(point), state, rate=rates[step - 1], step=step)
        path[step] = point
    return path
