"""Class names and normalization are read from a TFLite file; damaged metadata are an error of one sentence."""

import io
import zipfile

import pytest

from tests.inference.trained import NAMES, run_folder  # noqa: F401 (fixture)
from tfdl.core.tflite_metadata import BUFFER_NAME, Metadata, read_metadata


@pytest.fixture
def content(run_folder):  # noqa: F811
    return (run_folder / "export" / "model.tflite").read_bytes()


def test_what_the_export_writes_is_read(content):
    found = read_metadata(content)
    assert found.labels == NAMES
    assert found.mean == (0.0,) and found.std == (255.0,)


def test_a_file_without_metadata_has_nothing(content):
    assert read_metadata(content.replace(BUFFER_NAME, b"X" * len(BUFFER_NAME))) == Metadata()


def test_damaged_metadata_are_an_error_and_never_a_crash(content):
    start = content.index(b"M001")
    for place in range(start, start + 400, 7):
        damaged = content[:place] + b"\xff\xff\xff" + content[place + 3 :]
        try:
            assert isinstance(read_metadata(damaged), Metadata)
        except ValueError as error:
            assert "metadata" in str(error) and "damaged" in str(error)


def test_a_label_file_that_is_missing_or_far_too_long_is_refused(content):
    model = content[: zipfile.ZipFile(io.BytesIO(content)).infolist()[0].header_offset]
    with pytest.raises(ValueError, match="damaged"):
        read_metadata(model)
    stream = io.BytesIO(model)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.txt", "a\n" * 2_000_000)
    with pytest.raises(ValueError, match="4,000,000 bytes"):
        read_metadata(stream.getvalue())
