import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn.metrics import log_loss

from tests.magnitudes import numbers, quick
from tfdl.losses.classification import (
    CrossEntropy,
    FocalLoss,
    cross_entropy,
    focal_per_positive,
    mean_squared_error,
    sigmoid_focal,
    softmax_focal,
)

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0.0, 3.0, (5, 4)).astype("float32")
LABELS = np.array([0, 3, 1, 1, 2], "int32")
SOFT = softmax(RNG.normal(size=(5, 4)), -1).astype("float32")
ONE_HOT = np.eye(4, dtype="float32")[LABELS]
WEIGHTS = (0.5, 2.0, 1.0, 3.0)
YES = RNG.integers(0, 2, (5, 4)).astype("float32")  # targets of independent outputs
HUGE = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4], [0.0, 0.0, 0.0]], "float32")
TAKES_LABELS = {
    "cross_entropy": lambda t, x: cross_entropy(t, x, label_smoothing=0.1),
    **{f"softmax_focal {g}": lambda t, x, g=g: softmax_focal(t, x, gamma=g) for g in (0.0, 0.3, 1.0, 2.0, 5.0)},
}
TAKES_TARGETS = {
    "mean_squared_error": mean_squared_error,
    **{f"sigmoid_focal {g}": lambda t, x, g=g: sigmoid_focal(t, x, gamma=g) for g in (0.0, 0.3, 1.0, 2.0, 5.0)},
}


def close(found, expected, atol=1e-6):
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, rtol=1e-6, atol=atol)


# Facts of the papers


def test_cross_entropy_of_equal_logits_is_log_of_the_classes():
    close(cross_entropy(LABELS, np.zeros((5, 4), "float32")), np.full(5, np.log(4)))


def test_well_classified_sample_counts_a_hundredth():
    for p, factor in ((0.9, 100), (0.968, 1000)):  # section 3.2 of Lin et al.
        logits = np.log([[p, 1 - p]]).astype("float32")
        ratio = cross_entropy(np.array([0]), logits) / softmax_focal(np.array([0]), logits, gamma=2.0)
        np.testing.assert_allclose(ratio, [factor], rtol=0.03)


@pytest.mark.parametrize("labels", [LABELS, SOFT], ids=["numbers", "probabilities"])
@pytest.mark.parametrize("alpha", [None, WEIGHTS], ids=["plain", "weighted"])
def test_softmax_focal_with_gamma_0_is_weighted_cross_entropy(labels, alpha):
    close(
        softmax_focal(labels, LOGITS, gamma=0.0, alpha=alpha), cross_entropy(labels, LOGITS, class_weights=alpha), 1e-7
    )


@pytest.mark.parametrize("alpha", [None, 0.25, 0.9])
def test_sigmoid_focal_with_gamma_0_is_weighted_cross_entropy(alpha):
    plain = keras.losses.binary_crossentropy(YES[..., None], LOGITS[..., None], from_logits=True)
    weights = 1.0 if alpha is None else np.where(YES == 1, alpha, 1 - alpha)
    close(sigmoid_focal(YES, LOGITS, gamma=0.0, alpha=alpha), weights * plain.numpy(), 1e-7)


def test_softmax_focal_of_two_classes_is_sigmoid_focal_of_their_difference():
    pair, labels = LOGITS[:, :2], LABELS % 2
    expected = sigmoid_focal(labels.astype("float32"), pair[:, 1] - pair[:, 0], gamma=1.5, alpha=None)
    close(softmax_focal(labels, pair, gamma=1.5), expected)


def test_detectors_divide_by_the_number_of_positives():
    close(focal_per_positive(YES, LOGITS), sigmoid_focal(YES, LOGITS).numpy().sum() / YES.sum())
    close(focal_per_positive(np.zeros_like(YES), LOGITS), sigmoid_focal(np.zeros_like(YES), LOGITS).numpy().sum())


# Parity


def test_numbers_probabilities_and_keras_agree():
    expected = keras.losses.sparse_categorical_crossentropy(LABELS, LOGITS, from_logits=True)
    close(cross_entropy(LABELS, LOGITS), expected)
    close(cross_entropy(ONE_HOT, LOGITS), expected)
    close(np.mean(cross_entropy(LABELS, LOGITS)), log_loss(LABELS, softmax(LOGITS.astype("float64"), -1)))


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.9])
def test_smoothed_cross_entropy_is_keras(label_smoothing):
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing, reduction=None)
    close(cross_entropy(SOFT, LOGITS, label_smoothing=label_smoothing), theirs(SOFT, LOGITS))
    close(cross_entropy(LABELS, LOGITS, label_smoothing=label_smoothing), theirs(ONE_HOT, LOGITS))


def test_class_weights_count_samples_several_times():
    theirs = keras.losses.sparse_categorical_crossentropy(LABELS, LOGITS, from_logits=True).numpy()
    close(cross_entropy(LABELS, LOGITS, class_weights=WEIGHTS), theirs * np.array(WEIGHTS)[LABELS])


def test_mean_squared_error_is_keras():
    x = RNG.normal(size=(5, 2, 4)).astype("float32")
    y = RNG.normal(size=(5, 2, 4)).astype("float32")
    close(mean_squared_error(y, x), keras.losses.mean_squared_error(y, x))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_sigmoid_focal_is_keras_and_torchvision(gamma):
    theirs = keras.losses.BinaryFocalCrossentropy(
        apply_class_balancing=True, alpha=0.25, gamma=gamma, from_logits=True, reduction=None
    )
    close(sigmoid_focal(YES, LOGITS, gamma=gamma), theirs(YES[..., None], LOGITS[..., None]), 2e-6)
    x = LOGITS.astype("float64")  # torchvision.ops.sigmoid_focal_loss, as a formula
    p = 1 / (1 + np.exp(-x))
    p_t = p * YES + (1 - p) * (1 - YES)
    alpha_t = 0.25 * YES + 0.75 * (1 - YES)
    close(sigmoid_focal(YES, LOGITS, gamma=gamma), alpha_t * (1 - p_t) ** gamma * -np.log(p_t), 1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_softmax_focal_is_keras_and_its_formula(gamma):
    theirs = keras.losses.CategoricalFocalCrossentropy(alpha=0.25, gamma=gamma, from_logits=True, reduction=None)
    close(0.25 * softmax_focal(LABELS, LOGITS, gamma=gamma), theirs(ONE_HOT, LOGITS), 2e-6)
    log_p = log_softmax(LOGITS.astype("float64"), -1)
    expected = -(np.array(WEIGHTS) * SOFT * (1 - np.exp(log_p)) ** gamma * log_p).sum(-1)
    close(softmax_focal(SOFT, LOGITS, gamma=gamma, alpha=WEIGHTS), expected)


# Numbers


@pytest.mark.parametrize("loss", TAKES_LABELS.values(), ids=TAKES_LABELS)
@pytest.mark.parametrize("labels", [np.array([0, 1, 2]), np.array([1, 0, 2]), np.full((3, 3), 1 / 3, "float32")])
def test_class_losses_and_gradients_stay_finite(loss, labels):
    check_finite(lambda x: loss(labels, x))


@pytest.mark.parametrize("loss", TAKES_TARGETS.values(), ids=TAKES_TARGETS)
@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
def test_elementwise_losses_and_gradients_stay_finite(loss, target):
    check_finite(lambda x: loss(np.full((3, 3), target, "float32"), x))


def check_finite(loss):
    for scale in (1.0, 1e-3, 2e-3):  # 10 and 20: 1 - p is 5e-5 and rounds to 0
        x = tf.constant(HUGE * scale)
        with tf.GradientTape() as tape:
            tape.watch(x)
            values = loss(x)
        assert np.isfinite(values).all() and (values.numpy() >= 0).all()
        assert np.isfinite(tape.gradient(values, x)).all()


@pytest.mark.parametrize("gamma", [0.3, 2.0])
def test_gradients_are_the_differences(gamma):
    for loss in (lambda x: softmax_focal(LABELS, x, gamma=gamma), lambda x: sigmoid_focal(YES, x, gamma=gamma)):
        x = tf.constant(LOGITS)
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(loss(x))
        direction = RNG.normal(size=x.shape).astype("float32")
        ahead, behind = (float(tf.reduce_sum(loss(x + h * direction))) for h in (1e-2, -1e-2))
        slope = float(tf.reduce_sum(tape.gradient(total, x) * direction))
        np.testing.assert_allclose(slope, (ahead - behind) / 2e-2, rtol=2e-3)


@pytest.mark.parametrize("loss", TAKES_LABELS.values(), ids=TAKES_LABELS)
def test_half_precision_logits_are_computed_in_float32(loss):
    low = tf.cast(LOGITS, "bfloat16")
    assert loss(LABELS, low).dtype == "float32"
    close(loss(LABELS, low), loss(LABELS, tf.cast(low, "float32")))
    assert sigmoid_focal(tf.cast(YES, "float16"), low).dtype == mean_squared_error(low, low).dtype == "float32"


def test_number_that_is_no_class_gives_nan():
    for loss in (cross_entropy, softmax_focal):
        found = loss(np.array([0, 4, -1, 3, 2]), LOGITS).numpy()
        np.testing.assert_array_equal(np.isnan(found), [False, True, True, False, False])
        found = loss(np.array([0.0, 1.7, 2.0**32, np.nan, 2.0]), LOGITS).numpy()
        np.testing.assert_array_equal(np.isnan(found), [False, True, True, True, False])
        assert np.isnan(loss(np.array([2**32, 0, 1, 2, 3]), LOGITS).numpy()).tolist() == [True] + [False] * 4


def test_target_that_is_no_probability_gives_nan():
    for wrong in (2.0, -0.5, np.nan):
        targets = np.array([[1, 0], [wrong, 0]], "float32")
        for loss in (cross_entropy, softmax_focal):
            assert np.isnan(loss(targets, LOGITS[:2, :2]).numpy()).tolist() == [False, True]
        assert np.isnan(sigmoid_focal(targets, LOGITS[:2, :2]).numpy()).tolist() == [[False, False], [True, False]]


def test_excluded_class_counts_nothing():
    logits = tf.constant([[1.0, -np.inf, 0.0]])
    for loss, expected in ((cross_entropy, 1.3133), (lambda t, x: softmax_focal(t, x, gamma=0.0), 1.3133),
                           (softmax_focal, 1.3133 * 0.7311**2)):  # fmt: skip
        for label in (np.array([2]), np.array([[0, 0, 1]], "float32")):
            with tf.GradientTape() as tape:
                tape.watch(logits)
                value = loss(label, logits)
            close(value, [expected], 1e-4)
            assert np.isfinite(tape.gradient(value, logits)).all()
    theirs = keras.losses.sparse_categorical_crossentropy(np.array([2]), logits, from_logits=True)
    close(cross_entropy(np.array([2]), logits), theirs)


@quick
@given(st.lists(st.lists(numbers(-30, 30), min_size=4, max_size=4), min_size=5, max_size=5), st.floats(0, 3))
def test_losses_are_their_formulas_at_every_magnitude(logits, gamma):
    logits = np.array(logits, "float32")
    x = logits.astype("float64")
    log_p = log_softmax(x, -1)
    rest, wrong = -np.expm1(log_p), np.where(YES, -x, x)
    found = {
        "cross entropy": (cross_entropy(SOFT, logits), -(SOFT * log_p).sum(-1)),
        "class numbers": (cross_entropy(LABELS, logits), -log_p[np.arange(5), LABELS]),
        "softmax focal": (softmax_focal(SOFT, logits, gamma=gamma), -(SOFT * rest**gamma * log_p).sum(-1)),
        "sigmoid focal": (sigmoid_focal(YES, logits, gamma=gamma, alpha=None),
                          np.exp(-gamma * np.logaddexp(0, -wrong)) * np.logaddexp(0, wrong)),
    }  # fmt: skip
    for name, (ours, expected) in found.items():
        np.testing.assert_allclose(ours, expected, rtol=2e-5, atol=1e-6, err_msg=name)
    small = np.abs(x) < 1e15  # squares of larger ones leave the range of float32
    close(mean_squared_error(np.zeros_like(logits), logits * small), (x * small * x).mean(-1))


# For `compile`

OBJECTS = [
    CrossEntropy(),
    CrossEntropy(label_smoothing=0.2, class_weights=np.array(WEIGHTS)),
    FocalLoss(),
    FocalLoss(gamma=0.5, alpha=WEIGHTS),
]


@pytest.mark.parametrize("loss", OBJECTS, ids=["plain", "weighted", "focal", "alpha"])
def test_objects_are_means_and_can_be_stored(loss):
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is type(loss) and again.get_config() == loss.get_config()
    close(again(LABELS, LOGITS), loss(ONE_HOT, LOGITS))
    if isinstance(loss, FocalLoss):
        rows = softmax_focal(LABELS, LOGITS, gamma=loss.gamma, alpha=loss.alpha)
    else:
        rows = cross_entropy(LABELS, LOGITS, label_smoothing=loss.label_smoothing, class_weights=loss.class_weights)
    close(loss(LABELS, LOGITS), np.mean(rows))


@pytest.mark.parametrize("y", [LABELS, SOFT], ids=["numbers", "probabilities"])
def test_model_with_a_focal_loss_trains_and_comes_back(y, tmp_path):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    model.compile(keras.optimizers.SGD(0.1), FocalLoss(alpha=WEIGHTS), metrics=["accuracy"])
    first = model.evaluate(LOGITS, y, verbose=0)[0]
    model.fit(LOGITS, y, epochs=5, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded.evaluate(LOGITS, y, verbose=0)[0] < first and loaded.loss.alpha == list(WEIGHTS)


# Bad input


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: mean_squared_error(LOGITS[:, :1], LOGITS), r"targets \(5, 1\) and outputs \(5, 4\)"),
        (lambda: cross_entropy(LABELS[:3], LOGITS), r"labels of shape \(3,\) for logits \(5, 4\)"),
        (lambda: cross_entropy(SOFT[:, :3], LOGITS), r"labels of shape \(5, 3\)"),
        (lambda: cross_entropy(LABELS, LOGITS[0]), r"logits of shape \(4,\); give \(B, C\)"),
        (lambda: cross_entropy(LABELS, LOGITS, label_smoothing=1.0), "label_smoothing is 1.0"),
        (lambda: cross_entropy(LABELS, LOGITS, class_weights=WEIGHTS[:2]), r"4 classes, but weights of shape \(2,\)"),
        (lambda: softmax_focal(LABELS, LOGITS, gamma=-1), "gamma is -1"),
        (lambda: softmax_focal(LABELS, LOGITS, alpha=0.25), r"4 classes, but weights of shape \(\)"),
        (lambda: sigmoid_focal(YES[:, :3], LOGITS), r"targets \(5, 3\)"),
        (lambda: sigmoid_focal(YES, LOGITS, gamma=float("nan")), "gamma is nan"),
        (lambda: sigmoid_focal(YES, LOGITS, alpha=2), r"alpha is 2; give a number in \[0, 1\]"),
        (lambda: cross_entropy(LABELS, LOGITS, class_weights=(1, -1, 1, 1)), r"class weights are \[1, -1, 1, 1\]"),
        (lambda: CrossEntropy(class_weights=[1, np.nan]), "give finite numbers, 0 or more"),
        (lambda: FocalLoss(alpha=np.array([1, -2.0])), r"class weights are \[1.0, -2.0\]"),
        (lambda: FocalLoss(gamma=-0.1), "gamma is -0.1"),
        (lambda: CrossEntropy(label_smoothing=-0.1), "label_smoothing is -0.1"),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
