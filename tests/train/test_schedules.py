"""Every schedule equals the formulas of PyTorch and Transformers at every step, alone and after a warm-up."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.magnitudes import magnitudes, quick
from tfdl.train.schedules import CosineRestarts, InverseRoot, WarmUp, after_warm_up, cosine, linear, rates, step_decay

S = keras.optimizers.schedules
RATE, MANY = 0.3, 100_001


# --- the formulas, in float64, as PyTorch and Transformers document them -------------------------------------------


def step_lr(t, lr, step_size, gamma):
    return lr * gamma ** (t // step_size)


def cosine_annealing_lr(t, lr, t_max, eta_min):
    return eta_min + (lr - eta_min) * (1 + np.cos(np.pi * t / t_max)) / 2


def cosine_annealing_warm_restarts(t, lr, t_0, t_mult, eta_min):
    """One step after the other: t_cur counts up, and at t_i begins anew."""
    found, t_cur, t_i = [], 0, t_0
    for _ in t:
        if t_cur >= t_i:
            t_cur, t_i = t_cur - t_i, t_i * t_mult
        found.append(eta_min + (lr - eta_min) * (1 + math.cos(math.pi * t_cur / t_i)) / 2)
        t_cur += 1
    return np.array(found)


def linear_with_warmup(t, lr, warmup, total):
    return lr * np.where(t < warmup, t / max(1, warmup), np.maximum(0.0, (total - t) / max(1, total - warmup)))


def cosine_with_warmup(t, lr, warmup, total):
    progress = (t - warmup) / max(1, total - warmup)
    return lr * np.where(t < warmup, t / max(1, warmup), np.maximum(0.0, (1 + np.cos(np.pi * progress)) / 2))


def assert_exact(schedule, expected, tolerance=3e-7):
    """At every step, to the precision of float32 relative to the largest rate."""
    found = rates(schedule, len(expected))
    worst = int(np.abs(found - expected).argmax())
    assert np.abs(found - expected).max() <= tolerance * RATE, f"step {worst}: {found[worst]}, not {expected[worst]}"


def test_inverse_root_after_its_warm_up_is_eq_3_of_the_transformer():
    width, warm_up, steps = 512, 40, np.arange(1000)
    expected = width**-0.5 * np.minimum(np.maximum(steps, 1e-9) ** -0.5, steps * warm_up**-1.5)
    assert_exact(WarmUp(InverseRoot((width * warm_up) ** -0.5, warm_up), warm_up), expected)
    again = keras.optimizers.schedules.deserialize(S.serialize(InverseRoot(0.1, 7)))
    assert (again.rate, again.updates) == (0.1, 7)


@pytest.mark.parametrize("every, factor", [(1, 0.999), (7, 0.9), (30, 0.1), (333, 0.5), (10_000, 0.1)])
def test_step_decay_is_steplr_at_every_step(every, factor):
    """n drops multiply the rounding of `factor` to float32 by n; below 1e-35 float32 itself ends."""
    drops, expected = np.arange(MANY) // every, step_lr(np.arange(MANY), RATE, every, factor)
    error = np.abs(rates(step_decay(RATE, every, factor), MANY) - expected)
    assert (error <= (drops + 3) * 1e-7 * expected + 1e-35).all()


@pytest.mark.parametrize("updates", [1, 7, 1000, MANY - 1])
def test_linear_ends_at_its_floor(updates):
    assert_exact(linear(RATE, updates), linear_with_warmup(np.arange(MANY), RATE, 0, updates))
    assert rates(linear(RATE, updates, floor=0.02), [0, updates, 2 * updates]) == pytest.approx([RATE, 0.02, 0.02])


@pytest.mark.parametrize("updates", [1, 7, 1000, MANY - 1])
def test_cosine_is_cosineannealinglr_at_every_step_and_stays_at_its_floor(updates):
    t = np.minimum(np.arange(MANY), updates)
    for floor in (0.0, 0.02):
        assert_exact(cosine(RATE, updates, floor), cosine_annealing_lr(t, RATE, updates, floor))


PERIODS = [(1, 1), (7, 1), (37, 1), (1000, 1), (1, 2), (10, 2), (7, 3), (100, 3), (37, 10)]


@pytest.mark.parametrize("period, growth", PERIODS)
def test_restarts_are_those_of_cosineannealingwarmrestarts_at_every_step(period, growth):
    expected = cosine_annealing_warm_restarts(range(MANY), RATE, period, growth, 0.02)
    assert_exact(CosineRestarts(RATE, period, growth, floor=0.02), expected)


def test_restarts_keep_their_relative_precision_to_the_end_of_a_period():
    """(1 + cos) / 2 rounds to 0 long before the last step of 100,000, whose rate is 2.5e-10 of the first."""
    last = rates(CosineRestarts(1.0, 100_000), [99_999])[0]
    assert last == pytest.approx(math.sin(math.pi / 2 / 100_000) ** 2, rel=1e-5)


def test_restarts_of_keras_miss_the_boundary_where_ours_does_not():
    """If this fails, Keras's CosineDecayRestarts has become exact, and ours may go."""
    boundary = 10 * (2**13 - 1)  # periods of 10, 20, 40 ...: the fourteenth begins here
    assert rates(S.CosineDecayRestarts(1.0, 10, t_mul=2.0), [boundary])[0] < 1e-6
    assert rates(CosineRestarts(1.0, 10, 2), [boundary - 1, boundary]) == pytest.approx([0.0, 1.0], abs=1e-7)
    steps = np.arange(MANY)
    drifted = rates(S.CosineDecayRestarts(1.0, 7, t_mul=1.0), MANY) - cosine_annealing_lr(steps % 7, 1.0, 7, 0.0)
    assert np.abs(drifted).max() > 1e-4  # how much depends on the graph optimizer, which a `Run` turns off


# --- warm-up -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("warmup, total", [(1, 10), (10, 1000), (10_000, MANY - 1)])
def test_warm_up_gives_the_schedules_of_transformers(warmup, total):
    t = np.arange(total + 1)
    assert_exact(WarmUp(cosine(RATE, total - warmup), warmup), cosine_with_warmup(t, RATE, warmup, total))
    assert_exact(WarmUp(linear(RATE, total - warmup), warmup), linear_with_warmup(t, RATE, warmup, total))


@pytest.mark.parametrize("updates", [1, 9, 10, 37, 70, 1009])
def test_after_warm_up_a_tenth_of_the_updates_leads_to_the_rate(updates):
    ours = rates(after_warm_up(cosine, RATE, updates), updates + 5)
    np.testing.assert_array_equal(
        ours, rates(WarmUp(cosine(RATE, updates - updates // 10), updates // 10), updates + 5)
    )
    ours = rates(after_warm_up(linear, RATE, updates, part=0.05), updates + 5)
    np.testing.assert_array_equal(
        ours, rates(WarmUp(linear(RATE, updates - updates // 20), updates // 20), updates + 5)
    )


def test_cosine_of_keras_warms_up_in_the_same_way():
    ours = rates(WarmUp(cosine(RATE, 900), 100), 1100)
    theirs = rates(S.CosineDecay(0.0, 900, warmup_target=RATE, warmup_steps=100), 1100)
    np.testing.assert_allclose(ours, theirs, atol=1e-7)


ANY = {
    "constant": RATE,
    "step": step_decay(RATE, 5, 0.5),
    "linear": linear(RATE, 40),
    "cosine": cosine(RATE, 40, floor=0.01),
    "restarts": CosineRestarts(RATE, 7, 2),
    "warm-up": WarmUp(cosine(RATE, 40), 5, start=0.5),
    "Keras, piecewise": S.PiecewiseConstantDecay([5, 9], [RATE, 0.1, 0.05]),
    "Keras, inverse time": S.InverseTimeDecay(RATE, 3, 0.5),
    "Keras, warm-up of its own": S.CosineDecay(0.1, 40, warmup_target=RATE, warmup_steps=5),
}


@pytest.mark.parametrize("name", ANY)
def test_warm_up_goes_before_any_schedule(name):
    """A straight line up to the schedule's first rate, then the schedule as if nothing had been before it."""
    schedule, alone = ANY[name], rates(ANY[name], 60)
    found = rates(WarmUp(schedule, 11, start=0.25), 71)
    np.testing.assert_allclose(found[:12], alone[0] * np.linspace(0.25, 1, 12), rtol=1e-6)
    np.testing.assert_allclose(found[11:], alone, rtol=1e-6, atol=1e-8)


# --- with the reference libraries ----------------------------------------------------------------------------------


def torch_rates(make, steps):
    """The rates that a torch scheduler gives, step by step."""
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    scheduler, found = make(torch.optim.lr_scheduler, optimizer), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(found)


@pytest.mark.parity
@pytest.mark.parametrize(
    "schedule, make",
    [
        (step_decay(RATE, 30, 0.5), lambda lr, o: lr.StepLR(o, 30, 0.5)),
        (cosine(RATE, 1000, 0.02), lambda lr, o: lr.CosineAnnealingLR(o, 1000, 0.02)),
        (CosineRestarts(RATE, 10, 2, 0.02), lambda lr, o: lr.CosineAnnealingWarmRestarts(o, 10, 2, 0.02)),
        (CosineRestarts(RATE, 37), lambda lr, o: lr.CosineAnnealingWarmRestarts(o, 37)),
        (linear(RATE, 1000), lambda lr, o: lr.LinearLR(o, 1.0, 0.0, 1000)),
        (WarmUp(RATE, 50, start=0.25), lambda lr, o: lr.LinearLR(o, 0.25, 1.0, 50)),
        (
            WarmUp(cosine(RATE, 950), 50, start=0.25),
            lambda lr, o: lr.SequentialLR(o, [lr.LinearLR(o, 0.25, 1.0, 50), lr.CosineAnnealingLR(o, 950)], [50]),
        ),
    ],
    ids=["step", "cosine", "restarts growing", "restarts", "linear", "warm-up", "warm-up and cosine"],
)
def test_schedule_equals_torch_at_every_step(schedule, make):
    assert_exact(schedule, torch_rates(make, 1001))


@pytest.mark.parity
def test_warm_up_equals_transformers_at_every_step():
    transformers = pytest.importorskip("transformers")
    expected = torch_rates(lambda _, o: transformers.get_cosine_schedule_with_warmup(o, 100, 1000), 1001)
    assert_exact(WarmUp(cosine(RATE, 900), 100), expected)
    expected = torch_rates(lambda _, o: transformers.get_linear_schedule_with_warmup(o, 100, 1000), 1001)
    assert_exact(WarmUp(linear(RATE, 900), 100), expected)


# --- inside Keras --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in ANY if name != "constant"])
def test_schedule_is_read_back_from_json(name):
    again = S.deserialize(S.serialize(ANY[name]))
    np.testing.assert_array_equal(rates(again, 60), rates(ANY[name], 60))


def test_saved_model_keeps_its_schedule_and_its_place(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    schedule = WarmUp(CosineRestarts(0.1, 7, 2), 5)
    model.compile(keras.optimizers.SGD(schedule), "mse")
    model.fit(np.ones((8, 3)), np.zeros((8, 2)), batch_size=2, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    optimizer = keras.models.load_model(tmp_path / "model.keras").optimizer
    assert int(optimizer.iterations) == 8
    assert float(optimizer.learning_rate) == float(schedule(8)) == pytest.approx(0.1 * math.cos(math.pi * 3 / 14) ** 2)


def test_first_update_uses_the_rate_of_step_0():
    variable, optimizer = keras.Variable([1.0]), keras.optimizers.SGD(step_decay(0.5, 1, 0.1))
    for expected in (0.5, 0.45, 0.445):
        optimizer.apply([keras.ops.ones(1)], [variable])
        assert variable.numpy() == pytest.approx(expected)


def test_rates_takes_a_number_of_steps_or_steps_of_any_shape():
    assert rates(0.1, 4).tolist() == pytest.approx([0.1] * 4)
    assert rates(step_decay(1.0, 2, 0.5), [[0, 1, 2], [3, 4, 5]]).tolist() == [[1, 1, 0.5], [0.5, 0.25, 0.25]]


@quick
@given(
    magnitudes(-30, 30),
    st.integers(1, 10**6),
    st.floats(0, 1),
    st.lists(st.integers(0, 2 * 10**6), min_size=1, max_size=9),
)
def test_rates_are_the_formulas_at_every_magnitude(rate, updates, fraction, steps):
    t, floor, close = np.array(steps), rate * fraction, {"rtol": 1e-4, "atol": 1e-6 * rate}
    inside = np.minimum(t, updates)
    np.testing.assert_allclose([cosine(rate, updates, floor)(s) for s in steps],
                               cosine_annealing_lr(inside, rate, updates, floor), **close)  # fmt: skip
    np.testing.assert_allclose([linear(rate, updates, floor)(s) for s in steps],
                               rate + (floor - rate) * inside / updates, **close)  # fmt: skip
    warm = WarmUp(np.float32(rate), np.int64(updates), start=np.float32(fraction))
    np.testing.assert_allclose([warm(s) for s in steps], floor + (rate - floor) * inside / updates, **close)
    restarts = CosineRestarts(rate, updates, floor=floor)
    np.testing.assert_allclose([restarts(s) for s in steps],
                               cosine_annealing_lr(t % updates, rate, updates, floor), **close)  # fmt: skip


def test_warm_up_of_no_updates_is_the_schedule_alone():
    np.testing.assert_array_equal(rates(WarmUp(cosine(RATE, 9), 0), 12), rates(cosine(RATE, 9), 12))
    np.testing.assert_array_equal(rates(WarmUp(0.5, 0), 3), [0.5] * 3)


def test_numbers_of_numpy_are_numbers():
    made = [
        WarmUp(np.float32(0.5), np.int32(4)),
        CosineRestarts(np.float32(0.5), np.int64(4)),
        step_decay(np.float32(0.5), 3),
    ]
    for schedule in made:
        assert float(S.deserialize(S.serialize(schedule))(2)) == float(schedule(2))


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: step_decay(0.0, 5), "rate=0.0 is no learning rate"),
        (lambda: step_decay(float("nan"), 5), "rate=nan"),
        (lambda: step_decay(0.1, 0), "every=0"),
        (lambda: step_decay(0.1, 5, 1.5), "factor=1.5"),
        (lambda: linear(0.1, 0), "updates=0"),
        (lambda: cosine(-0.1, 10), "rate=-0.1"),
        (lambda: cosine(0.1, 2.5), "updates=2.5 should be an integer, 1 or more"),
        (lambda: cosine(0.1, 10, floor=0.2), "floor=0.2 should lie between 0 and the rate 0.1"),
        (lambda: CosineRestarts(0.1, 0), "period=0"),
        (lambda: CosineRestarts(0.1, 5, growth=0), "growth=0"),
        (lambda: after_warm_up(cosine, 0.1, 9, part=1.0), "part=1.0 should be a fraction of the updates"),
        (lambda: WarmUp(0.1, -1), "updates=-1 should be an integer, 0 or more"),
        (lambda: CosineRestarts(0.1, 10.0), "period=10.0 should be an integer"),
        (lambda: linear(0.1, float("inf")), "updates=inf should be an integer"),
        (lambda: step_decay(float("inf"), 5), "rate=inf is no learning rate"),
        (lambda: WarmUp(0.1, float("nan")), "updates=nan"),
        (lambda: rates(0.1, [0.5]), "steps are float64; give integers"),
        (lambda: WarmUp(-0.1, 5), "rate=-0.1"),
        (lambda: WarmUp("cosine", 5), "schedule='cosine' is neither"),
        (lambda: WarmUp(0.1, 5, start=2.0), "start=2.0"),
        (lambda: rates(cosine(0.1, 10), [3, -1]), "Step -1 is negative"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
