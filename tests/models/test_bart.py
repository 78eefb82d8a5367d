"""BART has the published parameters, and turns one text into another."""

import pytest

from tests.harness import outline
from tests.models.sequence_to_sequence import check_sequence_to_sequence
from tfdl.core.outline import parameters
from tfdl.models.text.bart import bart


@pytest.mark.parametrize("variant, count", [("base", 139_420_416), ("large", 406_291_456)])
def test_number_of_parameters_is_that_of_the_published_model(variant, count):
    assert parameters(outline(bart, variant)) == count


def test_bart_keeps_the_contract(tmp_path):
    check_sequence_to_sequence("bart", tmp_path)
