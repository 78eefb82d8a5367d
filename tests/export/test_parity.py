import numpy as np
import pytest

from tfdl.export.parity import TOLERANCES, ExportError, Reference, check, compare, failures, wrong_outputs


def logits(rows, classes, seed):
    return {"logits": np.random.default_rng(seed).normal(size=(rows, classes)).astype("float32")}


def test_measures_are_what_they_are_called():
    live = {"a": np.array([[0.0, 4.0], [3.0, 1.0]]), "b": np.array([0.5, -0.5])}
    output = {"a": np.array([[0.0, 4.0], [3.0, 3.5]]), "b": np.array([0.5, -0.5])}
    result = compare(output, live)
    assert result["difference"] == 2.5 / 4.0  # over the largest live output
    assert result["noise"] == pytest.approx(np.sqrt(2.5**2 / 4) / np.std(live["a"]))
    assert result["agreement"] == 0.5 and result["decided_agreement"] == 0.5


def test_undecided_samples_do_not_count_for_the_gate():
    live = {"y": np.array([[1.0, 1.001, 9.0], [5.0, 0.0, 1.0], [2.0, 2.001, 0.0]])}
    output = {"y": np.array([[1.0, 1.001, 9.0], [5.0, 0.0, 1.0], [2.001, 2.0, 0.0]])}
    result = compare(output, live)
    assert result["agreement"] == pytest.approx(2 / 3) and result["decided_agreement"] == 1.0


def test_not_a_number_never_passes():
    live = logits(4, 3, 0)
    bad = {"logits": np.where(np.eye(4, 3) > 0, np.nan, live["logits"])}
    assert all(failures(compare(bad, live), gate) for gate in TOLERANCES.values())


def test_other_names_and_shapes_are_errors():
    live = logits(4, 3, 0)
    with pytest.raises(ExportError, match="named scores instead of logits"):
        compare({"scores": live["logits"]}, live)
    with pytest.raises(ExportError, match=r"\(2, 3\) instead of \(4, 3\)"):
        compare({"logits": live["logits"][:2]}, live)


@pytest.mark.parametrize("form", ["savedmodel", "tflite", "tflite_float16", "tflite_int8"])
def test_gate_passes_the_right_weights_and_stops_the_wrong_ones(form):
    live, wrong = logits(40, 6, 1), logits(40, 6, 2)
    reference = Reference(inputs={}, live=live, wrong=wrong)
    row = check("file", live, reference, form)
    assert row["difference"] == 0 and row["control"]["noise"] > 1
    with pytest.raises(ExportError, match="does not compute"):
        check("file", wrong, reference, form)
    with pytest.raises(ExportError, match="proves nothing"):
        check("file", live, Reference(inputs={}, live=live, wrong=live), form)


def test_wrong_weights_are_shuffled_and_where_that_changes_little_doubled():
    x, tried = np.random.default_rng(0).normal(size=(20, 3)), []

    def run(weights):
        tried.append(weights)
        return {"y": x @ weights[0] + weights[1]}

    for right, count in (
        ([np.diag([1.0, -2.0, 3.0]), np.arange(3.0)], 1),
        ([np.full((3, 1), 1.8), np.full(1, 32.0)], 2),
    ):
        live = run(right)
        tried.clear()
        wrong = wrong_outputs(run, right, live)
        assert len(tried) == count and compare(wrong, live)["noise"] > 1
        for old, new in zip(right, tried[0], strict=True):
            np.testing.assert_array_equal(np.sort(new, axis=None), np.sort(old, axis=None))


def test_where_no_weights_change_the_outputs_there_is_no_control():
    live = logits(4, 3, 0)
    assert wrong_outputs(lambda weights: live, [np.arange(5.0)], live) is None
    assert wrong_outputs(None, [], live) is None
    assert wrong_outputs(lambda weights: {"logits": np.full((4, 3), np.nan)}, [np.arange(5.0)], live) is None
    assert check("file", live, Reference(inputs={}, live=live, wrong=None), "tflite")["control"] is None


def test_the_worst_of_several_outputs_counts():
    good, bad = np.array([[0.0, 4.0], [3.0, 1.0]]), np.array([[0.0, 4.0], [1.0, 3.0]])
    result = compare({"a": good, "b": bad}, {"a": good, "b": good})
    assert compare({"a": good}, {"a": good})["agreement"] == 1.0
    assert result["agreement"] == result["decided_agreement"] == 0.5
    assert result["difference"] == compare({"b": bad}, {"b": good})["difference"] == 0.5
    assert result["noise"] == compare({"b": bad}, {"b": good})["noise"] > 0
