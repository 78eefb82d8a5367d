"""`make check TOPIC=resnet` runs what belongs to a topic, and nothing else."""

import pytest

from tests.topic_selection import Selection


@pytest.mark.parametrize(
    "key, path, name",
    [
        ("resnet", "tests/models/test_resnet.py", "test_counts"),
        ("resnet", "tests/test_models.py", "test_classifier_keeps_the_contract[resnet]"),
        ("resnet", "tests/interop/test_convnets.py", "test_weights[torchvision-resnet-18]"),
        ("resnet", "tests/export/test_zoo.py", "test_resnet_keeps_its_shape"),
        ("resnet", "tests/test_recipes.py", "test_smoke_run_leaves_a_whole_run_folder[classify_images]"),
        ("resnet", "tests/test_architecture.py", "test_file_keeps_the_rules[tfdl/models/convnets/resnet.py]"),
        ("mixed_precision", "tests/train/test_precision.py", "test_anything"),
        ("vit", "tests/layers/test_attention.py", "test_vit_sees_patches"),
    ],
)
def test_what_belongs_to_a_topic(key, path, name):
    selection = Selection(key)
    assert selection.has(path, name)
    assert selection.may_be_in(path, "import tfdl\n" + (name if "[" not in name else "MODELS"))


@pytest.mark.parametrize(
    "key, path, name",
    [
        ("resnet", "tests/models/test_vgg.py", "test_counts"),
        ("resnet", "tests/test_models.py", "test_classifier_keeps_the_contract[vgg]"),
        ("resnet", "tests/models/test_vgg.py", "test_resnets_are_deeper"),
        ("vit", "tests/test_commands.py", "test_nobody_is_invited"),
        ("resnet", "tests/test_tools.py", "test_recipe_classify_images_is_named"),
    ],
)
def test_what_does_not(key, path, name):
    assert not Selection(key).has(path, name)


def test_files_without_such_tests_are_not_imported():
    assert not Selection("resnet").may_be_in("tests/models/test_vgg.py", "def test_vgg():\n    pass\n")


def test_an_unknown_topic_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="no topic 'resnt'; the nearest are 'resnet'"):
        Selection("resnt")
    with pytest.raises(ValueError, match="not built yet"):
        Selection("stylegan")
