"""The rules equal Keras and PyTorch step by step, and differ between the two exactly where the table says."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.magnitudes import numbers, quick
from tfdl.foundations.optimizers import RULES, SGD, AdaGrad, Adam, AdamW, RMSprop, descend

K = keras.optimizers
EXACT = {"beta_1": 0.875, "beta_2": 1 - 2.0**-10}  # Keras rounds these to float32, in float64 too; here nothing is lost
# rule, the Keras optimizer, the torch.optim optimizer, and the hyper-parameters of each where the names differ
PAIRS = {
    "sgd": (SGD, K.SGD, {}, {}),
    "sgd_decay": (SGD, K.SGD, {"weight_decay": 0.25}, {}),
    "momentum": (SGD, K.SGD, {"momentum": 0.875}, {}),
    "nesterov": (SGD, K.SGD, {"momentum": 0.875, "nesterov": True, "weight_decay": 0.25}, {}),
    "adagrad": (AdaGrad, K.Adagrad, {"initial": 0.125, "epsilon": 2.0**-20}, {"initial": "initial_accumulator_value"}),
    "rmsprop": (RMSprop, K.RMSprop, {}, {}),
    "rmsprop_momentum": (RMSprop, K.RMSprop, {"rho": 0.75, "momentum": 0.5, "weight_decay": 0.25}, {}),
    "rmsprop_centered": (RMSprop, K.RMSprop, {"momentum": 0.5, "centered": True}, {}),
    "adam": (Adam, K.Adam, EXACT, {}),
    "adam_decay": (Adam, K.Adam, {**EXACT, "weight_decay": 0.25}, {}),
    "adamw": (AdamW, K.AdamW, {**EXACT, "weight_decay": 0.25}, {}),
}


def falling(step):
    """A rate that falls by 0.8 every tenth step, exact in float32."""
    return float(np.float32(0.05 * 0.8 ** (step // 10)))


def problem(dtype, steps=100, seed=0):
    """A weight (3, 5) and changing gradients (steps, 3, 5) whose scale varies a thousandfold."""
    random = np.random.default_rng(seed)
    scales = np.exp(2 * random.normal(size=(steps, 1, 1)))
    return random.normal(size=(3, 5)).astype(dtype), (scales * random.normal(size=(steps, 3, 5))).astype(dtype)


def run(rule, weight, gradients, rate=falling):
    """The weight after each step, (steps, ...); the bias corrections in the weight's precision."""
    state, weights = rule.start(weight), []
    for step, gradient in enumerate(gradients):
        weight, state = rule(weight, gradient, state, rate=rate(step), step=weight.dtype.type(step + 1))
        weights.append(weight)
    return np.stack(weights)


def relative(a, b):
    """Largest difference over the steps, relative to the largest weight of the step."""
    return max(np.abs(x - y).max() / np.abs(y).max() for x, y in zip(a, b))


def keras_run(make, options, weight, gradients):
    """The same 100 updates by a Keras optimizer."""

    class Falling(K.schedules.LearningRateSchedule):
        def __call__(self, step):
            return keras.ops.convert_to_tensor(falling(int(step)), dtype=str(weight.dtype))

    variable, optimizer, weights = keras.Variable(weight, dtype=str(weight.dtype)), make(Falling(), **options), []
    for gradient in gradients:
        optimizer.apply([gradient], [variable])
        weights.append(variable.numpy())
    return weights


# --- equal to Keras ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-6), ("float64", 1e-12)])
@pytest.mark.parametrize("name", PAIRS)
def test_rule_equals_keras_over_100_steps(name, dtype, tolerance):
    rule, make, options, renamed = PAIRS[name]
    weight, gradients = problem(dtype)
    expected = keras_run(make, {renamed.get(k, k): v for k, v in options.items()}, weight, gradients)
    found = run(rule(**options), weight, gradients)
    assert found.dtype == dtype
    assert relative(found, expected) <= tolerance


@pytest.mark.parametrize("make", [K.SGD, K.Adagrad, K.RMSprop, K.Adam, K.AdamW])
def test_defaults_are_those_of_keras(make):
    weight, gradients = problem("float32", steps=10)
    rule = RULES[make.__name__.lower()]()
    assert relative(run(rule, weight, gradients), keras_run(make, {}, weight, gradients)) <= 1e-6


@pytest.mark.parametrize("name", ["momentum", "adagrad", "rmsprop_centered", "adamw"])
def test_rules_take_keras_tensors(name):
    rule, _, options, _ = PAIRS[name]
    weight, gradients = problem("float32", steps=3)
    rule, tensor = rule(**options), keras.ops.convert_to_tensor(weight)
    state = rule.start(tensor)
    for step, gradient in enumerate(gradients):
        gradient = keras.ops.convert_to_tensor(gradient)
        tensor, state = rule(tensor, gradient, state, rate=falling(step), step=keras.ops.cast(step + 1, "float32"))
    assert relative([keras.ops.convert_to_numpy(tensor)], run(rule, weight, gradients)[-1:]) <= 1e-6


# --- equal to PyTorch ----------------------------------------------------------------------------------------------

TORCH = {
    "sgd": (SGD(convention="torch", weight_decay=0.1), "SGD", {"weight_decay": 0.1}),
    "momentum": (SGD(convention="torch", momentum=0.9), "SGD", {"momentum": 0.9}),
    "nesterov": (
        SGD(convention="torch", momentum=0.9, nesterov=True, weight_decay=0.1),
        "SGD",
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    ),
    "adagrad": (AdaGrad(convention="torch"), "Adagrad", {}),
    "rmsprop": (RMSprop(convention="torch", weight_decay=0.1), "RMSprop", {"weight_decay": 0.1}),
    "rmsprop_centered": (
        RMSprop(convention="torch", momentum=0.8, centered=True),
        "RMSprop",
        {"momentum": 0.8, "centered": True},
    ),
    "adam": (Adam(convention="torch"), "Adam", {}),
    "adam_l2": (Adam(convention="torch", weight_decay=0.1), "Adam", {"weight_decay": 0.1}),
    "adamw": (AdamW(convention="torch"), "AdamW", {}),
}


def documented(kind, w, gradients, *, momentum=0.0, nesterov=False, centered=False, weight_decay=0.0):
    """The formulas of torch.optim's documentation, with its defaults, transcribed line by line in float64."""
    b = q = v = m = 0.0
    for t, g in enumerate(gradients, 1):
        lr = falling(t - 1)
        if kind == "AdamW":
            w = w - lr * 0.01 * w
        g = g + weight_decay * w
        if kind == "SGD":
            b = momentum * b + g
            w = w - lr * (g + momentum * b if nesterov else b)
        elif kind == "Adagrad":
            q = q + g**2
            w = w - lr * g / (np.sqrt(q) + 1e-10)
        elif kind == "RMSprop":
            v, m = 0.99 * v + 0.01 * g**2, 0.99 * m + 0.01 * g
            b = momentum * b + g / (np.sqrt(v - m**2 if centered else v) + 1e-8)
            w = w - lr * b
        else:
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            w = w - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        yield w


@pytest.mark.parametrize("name", TORCH)
def test_rule_equals_the_documented_formulas_of_torch(name):
    rule, kind, options = TORCH[name]
    weight, gradients = problem("float64")
    assert relative(run(rule, weight, gradients), list(documented(kind, weight, gradients, **options))) <= 1e-12


@pytest.mark.parity
@pytest.mark.parametrize("name", TORCH)
def test_rule_equals_torch_over_100_steps(name):
    torch = pytest.importorskip("torch")
    rule, kind, options = TORCH[name]
    weight, gradients = problem("float64")
    parameter = torch.nn.Parameter(torch.tensor(weight))
    optimizer = getattr(torch.optim, kind)([parameter], lr=1.0, **options)
    expected = []
    for step, gradient in enumerate(gradients):
        optimizer.param_groups[0]["lr"] = falling(step)
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
        expected.append(parameter.detach().numpy().copy())
    assert relative(run(rule, weight, gradients), expected) <= 1e-12


# --- the rows of the table, each measured --------------------------------------------------------------------------


def first_increment(rule, gradient, rate=1.0):
    """What one update from weight 0 subtracts."""
    weight = np.zeros(1)
    return -float(rule(weight, np.array([gradient]), rule.start(weight), rate=rate, step=1)[0][0])


def test_momentum_of_keras_holds_the_rate_and_that_of_torch_does_not():
    """One push at rate 1, then the rate falls tenfold: Keras coasts on at 0.9, PyTorch at 0.09."""
    coasting = {}
    for convention in ("keras", "torch"):
        for name, make in (("sgd", SGD), ("rmsprop", RMSprop)):
            rule = make(convention=convention, momentum=0.9)
            push = run(rule, np.zeros(1), np.array([[1.0], [0.0]]), rate=lambda step: (1.0, 0.1)[step])[:, 0]
            coasting[name, convention] = (push[1] - push[0]) / push[0]
    for name in ("sgd", "rmsprop"):
        assert coasting[name, "keras"] == pytest.approx(0.9)
        assert coasting[name, "torch"] == pytest.approx(0.09)


@pytest.mark.parametrize("options", [{"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}])
def test_both_momenta_are_one_while_the_rate_is_constant(options):
    weight, gradients = problem("float64")
    paths = [run(SGD(convention=c, **options), weight, gradients, rate=lambda step: 0.03) for c in ("keras", "torch")]
    assert relative(*paths) <= 1e-12


def test_adams_epsilon_in_keras_is_the_papers_epsilon_hat():
    """Epsilon before the correction equals epsilon / sqrt(1 - beta_2^t) after it: 31.6 times as much in step 1."""
    keras_like, torch_like = Adam(epsilon=1e-3), Adam(convention="torch", epsilon=1e-3)
    hat = Adam(convention="torch", epsilon=1e-3 / math.sqrt(1 - 0.999))
    assert first_increment(keras_like, 1e-3) == pytest.approx(first_increment(hat, 1e-3), rel=1e-12)
    assert first_increment(torch_like, 1e-3) == pytest.approx(1 / 2)  # g / (|g| + epsilon)
    assert first_increment(keras_like, 1e-3) == pytest.approx(1 / (1 + math.sqrt(1000)))


def test_rmsprops_epsilon_is_inside_the_root_in_keras_and_outside_in_torch():
    assert first_increment(RMSprop(rho=0.75, epsilon=0.01), 0.1) == pytest.approx(0.1 / math.sqrt(0.0025 + 0.01))
    torch_like = RMSprop(convention="torch", rho=0.75, epsilon=0.01)
    assert first_increment(torch_like, 0.1) == pytest.approx(0.1 / (0.05 + 0.01))


def test_adagrads_epsilon_is_inside_the_root_in_keras_and_outside_in_torch():
    assert first_increment(AdaGrad(initial=0.0, epsilon=0.01), 0.1) == pytest.approx(0.1 / math.sqrt(0.01 + 0.01))
    assert first_increment(AdaGrad(convention="torch", epsilon=0.01), 0.1) == pytest.approx(0.1 / (0.1 + 0.01))


@pytest.mark.parametrize("gradient", [1e-3, 1.0, 1e3])
def test_adagrads_first_step_is_the_rate_in_torch_and_shorter_in_keras(gradient):
    assert first_increment(AdaGrad(convention="torch"), gradient, rate=0.01) == pytest.approx(0.01, rel=1e-6)
    expected = 0.01 * gradient / math.sqrt(0.1 + gradient**2)
    assert first_increment(AdaGrad(), gradient, rate=0.01) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "make, field, keras_value, torch_value",
    [
        (Adam, "epsilon", 1e-7, 1e-8),
        (AdamW, "epsilon", 1e-7, 1e-8),
        (AdamW, "weight_decay", 0.004, 0.01),
        (RMSprop, "epsilon", 1e-7, 1e-8),
        (RMSprop, "rho", 0.9, 0.99),
        (AdaGrad, "epsilon", 1e-7, 1e-10),
        (AdaGrad, "initial", 0.1, 0.0),
    ],
)
def test_defaults_are_the_tables(make, field, keras_value, torch_value):
    assert getattr(make(), field) == keras_value
    assert getattr(make(convention="torch"), field) == torch_value


@pytest.mark.parametrize("name", RULES)
def test_decay_is_decoupled_in_keras_and_coupled_in_torch_but_for_adamw(name):
    """Decoupled, the increment doesn't depend on the decay: what is left is rate * decay * weight."""
    weight, gradient = np.array([2.0, -3.0, 0.5]), np.array([0.1, 5.0, -40.0])
    for convention in ("keras", "torch"):
        after = {}
        for decay in (0.0, 0.1):
            rule = RULES[name](convention=convention, weight_decay=decay)
            after[decay], _ = rule(weight, gradient, rule.start(weight), rate=0.01, step=1)
        decoupled = np.allclose(after[0.0] - after[0.1], 0.01 * 0.1 * weight, rtol=1e-9, atol=0)
        assert decoupled == (convention == "keras" or name in ("adamw", "sgd"))  # plain SGD's L2 is decoupled decay


# --- AdamW is not Adam with L2 -------------------------------------------------------------------------------------


def decay_factors(make, convention, scales, steps=200):
    """(with decay - without) / without, for weights of 1 whose alternating gradients have the given scales."""
    gradients = np.array([(-1.0) ** t * scales for t in range(steps)])
    plain = run(make(convention=convention, weight_decay=0.0), np.ones(len(scales)), gradients, lambda step: 1e-3)[-1]
    decayed = run(make(convention=convention, weight_decay=0.1), np.ones(len(scales)), gradients, lambda step: 1e-3)[-1]
    return decayed / plain


def test_adamw_shrinks_every_weight_alike_and_adam_with_l2_spares_those_with_large_gradients():
    """Loshchilov & Hutter 2019, proposition 3: L2 in an adaptive rule regularizes large gradients less."""
    scales = np.array([1e-2, 1.0, 100.0])
    decoupled = decay_factors(AdamW, "torch", scales)
    np.testing.assert_allclose(decoupled, (1 - 1e-3 * 0.1) ** 200, rtol=1e-3)
    coupled = 1 - decay_factors(Adam, "torch", scales)
    assert coupled[0] > 5 * coupled[1] > 25 * coupled[2] > 0


def test_decoupled_decay_and_l2_are_the_same_thing_for_plain_sgd():
    weight, gradients = problem("float64")
    decoupled = run(SGD(weight_decay=0.1), weight, gradients)
    assert relative(run(SGD(convention="torch", weight_decay=0.1), weight, gradients), decoupled) <= 1e-12


# --- properties ----------------------------------------------------------------------------------------------------


def test_adams_first_step_is_the_rate_whatever_the_gradients_scale():
    for gradient in (1e-3, 1.0, 1e6):
        assert first_increment(Adam(convention="torch"), gradient, rate=0.01) == pytest.approx(0.01, rel=1e-4)


def test_centered_rmsprop_survives_a_constant_gradient():
    """v - m^2 rounds to less than 0 there, whose root is not a number."""
    weight = np.zeros(1, "float32")
    path = run(RMSprop(centered=True), weight, np.full((300, 1), 321.7, "float32"), rate=lambda step: 1e-3)
    assert np.isfinite(path).all()


def test_state_that_goes_in_is_not_changed():
    weight = np.ones((2, 3))
    for rule in (SGD(momentum=0.9), AdaGrad(), RMSprop(centered=True, momentum=0.5), Adam(), AdamW()):
        state = rule.start(weight)
        before = {name: array.copy() for name, array in state.items()}
        _, after = rule(weight, weight, state, rate=0.1, step=1)
        assert state.keys() == before.keys() == after.keys()
        assert all(np.array_equal(state[name], before[name]) for name in before)


def test_descend_follows_the_rule_and_keeps_every_point():
    path = descend(SGD(), lambda point: 2 * point, [1.0, -4.0], rate=0.25, steps=3)
    np.testing.assert_allclose(path, [[1, -4], [0.5, -2], [0.25, -1], [0.125, -0.5]])
    np.testing.assert_allclose(descend(SGD(), lambda p: p, [8.0], rate=[0.5, 0.25], steps=2), [[8], [4], [3]])


@quick
@given(st.lists(numbers(-150, 150), min_size=1, max_size=4), numbers(-9, 9), st.integers(1, 10**6))
def test_first_updates_are_their_formulas_at_every_magnitude(gradients, weight, step):
    """Squares of gradients from 1e-150 to 1e150 are in the range of float64."""
    g, w = np.array(gradients), np.full(len(gradients), weight)
    expected = {
        SGD(): 0.1 * g,
        SGD(convention="torch", weight_decay=0.5): 0.1 * (g + 0.5 * w),
        AdaGrad(): 0.1 * g / np.hypot(g, np.sqrt(0.1 + 1e-7)),
        AdaGrad(convention="torch"): 0.1 * g / (np.abs(g) + 1e-10),
        RMSprop(): 0.1 * g / np.hypot(np.sqrt(0.1) * g, np.sqrt(1e-7)),
        Adam(convention="torch"): 0.1 * g / (np.abs(g) + 1e-8),
    }
    for rule, increment in expected.items():
        found, state = rule(w, g, rule.start(w), rate=0.1, step=1)
        np.testing.assert_allclose(found, w - increment, rtol=1e-7, atol=1e-12, err_msg=repr(rule))
        assert all(np.isfinite(value).all() for value in state.values())
        later, _ = rule(w, g, state, rate=0.1, step=step)
        assert np.isfinite(later).all()


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Adam(convention="jax"), "convention='jax' is unknown"),
        (lambda: Adam(beta_1=1.0), "beta_1=1.0 should be at least 0 and below 1"),
        (lambda: SGD(momentum=-0.1), "momentum=-0.1"),
        (lambda: RMSprop(rho=1.5), "rho=1.5"),
        (lambda: AdaGrad(initial=-1.0), "initial=-1.0 should be finite and 0 or more"),
        (lambda: Adam(epsilon=float("nan")), "epsilon=nan"),
        (lambda: Adam(epsilon=0.0), "epsilon=0.0 should be finite and above 0"),
        (lambda: SGD(weight_decay=float("inf")), "weight_decay=inf should be finite"),
        (lambda: Adam()(1.0, 1.0, Adam().start(1.0), rate=0.1, step=0), "step=0 should be 1 or more"),
        (lambda: AdamW(weight_decay=-0.1), "weight_decay=-0.1"),
        (lambda: SGD(nesterov=True), "needs momentum"),
        (lambda: descend(SGD(), lambda p: p, [1.0], rate=0.0, steps=1), "rate=0.0"),
        (lambda: descend(SGD(), lambda p: p, [1.0], rate=[0.1], steps=2), "2 of them"),
        (lambda: descend(SGD(), lambda p: p, [1.0], rate=0.1, steps=-1), "steps=-1"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
