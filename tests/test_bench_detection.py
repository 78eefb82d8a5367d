"""The speed tool of detectors: ours and keras-cv's find the same, and rows say what they measured."""

import numpy as np
import pytest

from tools import bench_detection


def test_ours_and_keras_cv_keep_the_same_boxes(monkeypatch):
    found = []

    def paired(ours, theirs, setting):
        found.append((ours(), theirs()))
        return [2.0, 1.0, 3.0]

    monkeypatch.setattr(bench_detection, "paired", paired)
    monkeypatch.setattr(bench_detection, "CLASSES", 1)
    monkeypatch.setattr(bench_detection, "BOXES", 250)  # all are candidates of ours
    row = bench_detection.compared("suppression", bench_detection.Setting(64, (2,), 0.0))
    assert (row["ratio"], row["low"], row["high"], row["pairs"]) == (2.0, 1.5, 2.5, 3)
    assert (row["measure"], row["against"], row["batch"]) == ("suppression", "keras-cv", 2)
    ((ours, theirs),) = found
    for own, other in zip(ours, theirs):
        kept = own[own.sum(-1) > 0]
        assert 10 < len(kept) < 100
        np.testing.assert_allclose(kept, other[: len(kept)], atol=1e-4)
        assert np.all(other[len(kept) :] <= 0)
    assert "below" not in bench_detection.line(row) and "below 3" in bench_detection.line(row | {"target": 3})


def test_a_side_that_no_network_takes_ends_in_one_sentence(capsys):
    with pytest.raises(SystemExit):
        bench_detection.main(["--image-size", "100"])
    assert "must be a multiple of 32" in capsys.readouterr().err
