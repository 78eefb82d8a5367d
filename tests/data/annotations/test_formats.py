"""Every form of annotations gives the same records, and what is none of them is refused."""

import numpy as np
import pytest

from tests.data.annotations.written import OBJECTS, SIZE, WRITERS, counted
from tfdl.data.annotations.formats import read


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("prefix", [True, False])
def test_every_form_gives_the_same_records(kind, prefix, tmp_path):
    WRITERS[kind](tmp_path)
    found = read(f"{kind}:{tmp_path}" if prefix else str(tmp_path))
    assert found.labels == ("cat", "dog")
    assert list(found.splits) == ["train"]
    records = {record.name: record for record in found.splits["train"]}
    assert list(records) == ["a.jpg", "b.jpg", "c.jpg"]
    for name, rows in OBJECTS.items():
        record = records[f"{name}.jpg"]
        assert record.size == SIZE and not record.crowd.any()
        np.testing.assert_allclose(record.boxes, np.array([box for _, box in rows]).reshape(-1, 4), atol=1e-4)
        assert [found.labels[label] for label in record.labels] == [label for label, _ in rows]
    assert counted(found)["pictures without objects, kept"] == 1


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no data set of boxes; give coco:, voc:, yolo: or labelme:"):
        read(str(tmp_path))
