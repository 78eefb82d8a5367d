"""Prepared sets of tensorflow_datasets."""

import pytest

from tfdl.data.annotations.formats import read


@pytest.mark.data
def test_prepared_sets_have_their_known_numbers(data_dir):
    found = read("bccd", data_dir)
    assert {split: len(rows) for split, rows in found.splits.items()} == {"train": 205, "validation": 87, "test": 72}
    assert found.labels == ("Platelets", "RBC", "WBC") or set(found.labels) == {"Platelets", "RBC", "WBC"}
    assert found.splits["train"][0].size == (480, 640)
    with pytest.raises(ValueError, match="'mnist' has the features .*; for detection it needs"):
        read("mnist", data_dir)
