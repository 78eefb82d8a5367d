"""Micro-batches through stages on several devices give the loss, gradients and training of the whole model."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests import forked
from tfdl.distribution.pipeline import balance, split_batch


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """ "case/name" -> array; all cases run in one process of their own, which has four logical CPU devices."""
    path = tmp_path_factory.mktemp("pipeline") / "results.npz"
    done = forked.python(Path(__file__).with_name("split_models.py"), "pipeline", path, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(np.load(path))


CASES = {"chain": 10, "chain, remat": 10, "chain, one micro-batch": 10, "decoder": 15, "vit": 30}


@pytest.mark.parametrize("case, weights", CASES.items())
def test_loss_outputs_and_gradients_equal_the_whole_model(results, case, weights):
    names = [key.removeprefix(f"{case}/split ") for key in results if key.startswith(f"{case}/split ")]
    assert {"loss", "outputs", "predicted"} < set(names)
    assert len(names) >= 3 + weights
    for name in names:
        whole = results[f"{case}/{name}"]
        np.testing.assert_allclose(results[f"{case}/split {name}"], whole, rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("case, stages", {"chain": 3, "decoder": 2, "vit": 2}.items())
def test_weight_gradient_and_momentum_share_a_device(results, case, stages):
    places = results[f"{case}/weights on"].tolist()
    assert places == sorted(places) and len(set(places)) == stages
    assert results[f"{case}/gradients on"].tolist() == places
    assert results[f"{case}/optimizer on"].tolist() == places


def test_stages_are_balanced(results):
    assert results["chain/stages"].tolist() == [6 * 7 + 7 + 7 * 6 + 6, 6 * 8 + 8 + 8 * 6 + 6, 6 * 5 + 5]
    assert balance((5, 1, 1, 1, 4), 3) == (5, (1, 4, 5))
    assert balance((1, 1, 9, 1), 2) == (10, (2, 4))


def test_fit_equals_the_whole_model_with_a_smaller_last_batch(results):
    names = [key.removeprefix("fit/whole ") for key in results if key.startswith("fit/whole ")]
    assert {"log loss", "log accuracy", "weight 0", "weight 9"} < set(names)
    losses = results["fit/whole log loss"]
    assert losses[-1] < losses[0]
    for name in names:
        np.testing.assert_allclose(
            results[f"fit/split {name}"], results[f"fit/whole {name}"], rtol=0, atol=1e-5, err_msg=name
        )


def test_micro_batches_share_the_batch():
    pieces, fractions = split_batch((np.arange(7), None, np.arange(14).reshape(7, 2)), 3)
    assert [piece[0].tolist() for piece in pieces] == [[0, 1], [2, 3], [4, 5, 6]]
    assert all(piece[1] is None and piece[2][:, 0].tolist() == (2 * piece[0]).tolist() for piece in pieces)
    assert [float(fraction) for fraction in fractions] == pytest.approx([2 / 7, 2 / 7, 3 / 7])


def test_rematerialization_keeps_less(results):
    def peak(case):
        return [int(results[f"memory/{case} CPU:{i} activations"]) for i in range(2)]

    plain, remat = peak("8"), peak("8 remat")
    assert all(r < p for r, p in zip(remat, plain))
    # A sample of stage 1 keeps its input (6), tanh's output (7) and its own output (6), which stage 2 waits for.
    assert plain[0] - remat[0] > 0.5 * 32 * 7 * 4 * (1 - 1 / 8)


def test_rematerialization_waits_for_the_gradient(results):
    """Each of 2 stages computes each of 8 micro-batches again only then: sooner, it would be kept just as long."""
    assert results["memory/8 remat waits"] - results["memory/8 waits"] == 2 * 8


def test_weights_and_momenta_are_counted_on_their_devices(results):
    def of(key):
        return [int(results[f"memory/8 CPU:{i} {key}"]) for i in range(2)]

    assert of("parameters") == [4 * 97, 4 * 145]
    assert of("optimizer") == [4 * 97 + 8 + 4, 4 * 145], "on the first device the step count and the rate too"


def test_share_of_waiting_is_that_of_the_paper(results):
    assert results["memory/idle"] == pytest.approx(1 / 9)  # 2 stages, 8 micro-batches


REFUSED = {
    "devices": "two can be split into 2 parts with weights, too few for 3 devices; use 2 devices or fewer",
    "micro-batches": "micro_batches=0 is not a number of micro-batches; give 1 or more",
    "batch": "A batch of 7 can't be split into 8 micro-batches; use a larger batch or fewer",
    "shared": "tied calls shared twice",
    "unbuilt": "new has no graph of layers to split",
    "dropout": "remat=True computes each stage twice, but .*seed",
    "batch norm": "remat=True computes each stage twice, but batch_normalization.*moving_mean",
    "regularizer": "adds its own loss .*AdamW",
}


@pytest.mark.parametrize("case, message", REFUSED.items())
def test_refusal_names_value_and_remedy(results, case, message):
    assert re.search(message, str(results[f"refused/{case}"]))


def test_dropout_without_rematerialization_is_allowed(results):
    assert str(results["refused/nothing"]) == ""
