"""The index is complete, consistent, and tells the truth about what is built."""

import ast
import graphlib
import itertools
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import tfdl
from tfdl import catalog
from tfdl.commands import show

ROOT = Path(__file__).resolve().parent.parent

# The curriculum, section by section, as keys.
CURRICULUM = {
    "mathematics": "linear_algebra calculus probability information_theory",
    "architecture": "perceptron mlp relu sigmoid tanh leaky_relu swish gelu fully_connected_topology "
    "convolutional_topology recurrent_topology residual_connections highway",
    "learning": "forward_propagation backpropagation mean_squared_error cross_entropy focal_loss sgd adam rmsprop "
    "adagrad step_decay cosine_annealing warm_up",
    "training": "dropout weight_decay early_stopping data_augmentation batch_normalization layer_normalization "
    "instance_normalization group_normalization glorot_initialization he_initialization orthogonal_initialization "
    "pretrained_weights",
    "cnn": "convolution max_pooling average_pooling global_pooling lenet alexnet vgg resnet densenet efficientnet "
    "mobilenet shufflenet classification detection segmentation",
    "rnn": "variable_length_sequences rnn lstm gru bidirectional_rnn attention",
    "transformers": "transformer bert gpt t5 vit swin",
    "generative": "dcgan stylegan cyclegan conditional_gan vae ddpm ddim latent_diffusion realnvp glow",
    "self-supervised": "simclr moco clip mae simmim rotation jigsaw colorization",
    "advanced": "gcn gat nas maml reptile prototypical",
    "optimization": "mixed_precision gradient_accumulation data_parallel model_parallel federated distillation",
    "vision": "yolo_v5 yolo_v8 detr faster_rcnn mask_rcnn solo hrnet blaze_face blaze_pose pointnet voxelnet",
    "language": "llama mixtral instruction_tuning reward ppo dpo clip dalle flamingo bart text_generation "
    "question_answering bert roberta",
    "frameworks": "pytorch jax hugging_face weights_and_biases mlflow",
}
KEYS = [topic.key for topic in catalog.TOPICS]
SHARED = {"__init__", "backbones"}  # by several models
MODEL_FILES = [p for p in sorted((ROOT / "tfdl/models").rglob("*.py")) if p.stem not in SHARED]


@pytest.mark.parametrize("section", CURRICULUM)
def test_section_of_the_curriculum_is_complete(section):
    assert not set(CURRICULUM[section].split()) - set(KEYS)


def test_keys_are_unique_snake_case():
    assert len(KEYS) == len(set(KEYS))
    assert all(re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", key) for key in KEYS)


def test_titles_are_unique():
    titles = [topic.title for topic in catalog.TOPICS]
    assert len(titles) == len(set(titles))


def test_every_source_has_a_year_and_well_formed_arxiv_ids():
    for topic in catalog.TOPICS:
        assert re.search(r"\b(19|20)\d\d\b", topic.source), topic
        assert topic.source.count("arXiv:") == len(re.findall(r"arXiv:\d\d(0[1-9]|1[0-2])\.\d{4,5}\b", topic.source)), (
            topic
        )


def test_paper_is_not_cited_before_it_was_on_arxiv():
    for topic in catalog.TOPICS:
        for year, century in re.findall(r"(\d{4}), arXiv:(\d\d)", topic.source):
            assert int(year) >= 2000 + int(century), topic
            assert int(year) - 2000 - int(century) <= 1, topic


def test_rows_follow_the_learning_path():
    stages = [topic.stage for topic in catalog.TOPICS]
    assert stages == sorted(stages)
    assert set(stages) == set(catalog.STAGES)


def test_sections_are_never_torn_apart():
    places = [(topic.stage, topic.section) for topic in catalog.TOPICS]
    assert sum(a != b for a, b in itertools.pairwise(places)) == len(set(places)) - 1


@pytest.mark.parametrize("topic", catalog.topics(built=True), ids=lambda topic: topic.key)
def test_built_topic_has_its_file_and_recipe(topic):
    if topic.module:
        assert (ROOT / (topic.module.replace(".", "/") + ".py")).is_file()
    if topic.recipe:
        program, command, recipe, *_ = shlex.split(topic.recipe)
        assert (program, command) == ("tfdl", "run")
        assert list((ROOT / "recipes").glob(f"*/{recipe}.py"))


@pytest.mark.parametrize("topic", [t for t in catalog.TOPICS if t.recipe], ids=lambda topic: topic.key)
def test_recipe_s_model_and_variant_exist(topic):
    flags = dict(itertools.pairwise(shlex.split(topic.recipe)))
    if {"--model", "--variant"} <= flags.keys():
        model = catalog.find(flags["--model"])
        source = (ROOT / (model.module.replace(".", "/") + ".py")).read_text(encoding="utf-8")
        assert "--variant" not in flags or flags["--variant"] in show.variants(source)


@pytest.mark.parametrize("topic", [t for t in catalog.TOPICS if t.is_model], ids=lambda topic: topic.key)
def test_key_of_a_model_is_its_file_and_its_builder(topic):
    assert topic.module.split(".")[-1] == topic.key
    tree = ast.parse((ROOT / (topic.module.replace(".", "/") + ".py")).read_text(encoding="utf-8"))
    assert topic.key in {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}


@pytest.mark.parametrize("file", MODEL_FILES, ids=lambda file: file.stem)
def test_every_model_file_is_in_the_catalog(file):
    assert catalog.find(file.stem).module == ".".join(file.relative_to(ROOT).with_suffix("").parts)


# --- the way through them --------------------------------------------------------------------------------------------

LATER = {"detr"}  # needs a topic of a later stage: it detects with a transformer


def test_prerequisites_are_topics_that_come_before_and_never_in_a_circle():
    places = {key: place for place, key in enumerate(KEYS)}
    graph = {topic.key: topic.prerequisites for topic in catalog.TOPICS}
    assert set(itertools.chain(*graph.values())) <= set(KEYS)
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(KEYS)
    for key, needed in graph.items():
        assert len(needed) == len(set(needed))
        assert key in LATER or all(places[other] < places[key] for other in needed), key


def test_every_topic_but_the_first_has_prerequisites_from_which_all_begins():
    (first,) = (topic.key for topic in catalog.TOPICS if not topic.prerequisites)
    assert first == KEYS[0] == "linear_algebra"


def test_circle_of_prerequisites_would_be_seen():
    with pytest.raises(graphlib.CycleError):
        list(graphlib.TopologicalSorter({"a": ("b",), "b": ("a",)}).static_order())


def test_every_recipe_has_its_minutes_once_and_no_other_command_has():
    recipes = {topic.recipe for topic in catalog.TOPICS if topic.recipe}
    assert catalog.MINUTES.keys() | catalog.ESTIMATED_MINUTES.keys() == recipes
    assert not catalog.MINUTES.keys() & catalog.ESTIMATED_MINUTES.keys()
    assert all((topic.minutes is None) == (topic.recipe is None) for topic in catalog.TOPICS)


def test_minutes_are_those_that_were_recorded():
    recorded = {}
    for file in (ROOT / "results").glob("*.json"):
        row = json.loads(file.read_text(encoding="utf-8"))
        seconds = [run["seconds"] for run in row.get("runs", []) if "seconds" in run]
        if seconds and re.search(r"recipes/|^tfdl run ", row["command"]):
            command = re.sub(r"^.*recipes/\w+/(\w+)\.py", r"tfdl run \1", row["command"])
            recorded.setdefault(command, []).append(sum(seconds) / len(seconds) / 60)
    standard = "tfdl run classify_images --model mobilenet --variant v2_small_images"  # the recipe's own defaults
    recorded[standard] = recorded["tfdl run classify_images"]
    for command, minutes in catalog.MINUTES.items():
        assert any(max(1, round(measured)) == minutes for measured in recorded[command]), command
    assert not recorded.keys() & catalog.ESTIMATED_MINUTES.keys()


def test_aliases_are_snake_case_and_no_keys_and_lead_to_topics():
    for alias, key in catalog.ALIASES.items():
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", alias)
        assert alias not in KEYS and key in KEYS
        assert catalog.find(alias) is catalog.find(key)
    assert list(catalog.ALIASES) == sorted(catalog.ALIASES)


def test_following_leads_from_the_first_topic_to_the_last():
    assert catalog.following(catalog.TOPICS[0]) is catalog.TOPICS[1]
    assert catalog.following(catalog.TOPICS[-1]) is None


# --- finding and building --------------------------------------------------------------------------------------------


def test_topics_filters_by_stage_and_state():
    assert {topic.stage for topic in catalog.topics(stage=3)} == {3}
    assert all(topic.built for topic in catalog.topics(built=True))
    assert len(catalog.topics(built=True)) + len(catalog.topics(built=False)) == len(catalog.topics())
    with pytest.raises(ValueError, match="no stage 7"):
        catalog.topics(stage=7)


def test_find_names_the_three_nearest():
    assert catalog.find("swin").title == "Swin Transformer"
    with pytest.raises(ValueError, match=r"'resnt'.* 'resnet', '\w+' and '\w+'\.$"):
        catalog.find("resnt")
    with pytest.raises(ValueError, match="'vision_transformr'; the nearest are 'vision_transformer'"):
        catalog.find("vision_transformr")


def test_nearest_copes_with_few_names():
    assert catalog.nearest("a", ["b"]) == "'b'"
    assert catalog.nearest("lsit", ["run", "list"]) == "'list' and 'run'"


def test_build_refuses_what_is_not_built_and_what_is_no_model():
    unbuilt = catalog.topics(built=False)[0]
    with pytest.raises(ValueError, match=r"not built yet; the models so far are .*mobilenet"):
        catalog.build(unbuilt.key)
    with pytest.raises(ValueError, match="is not a model, so it cannot be built; `tfdl show mixed_precision`"):
        catalog.build("mixed_precision")


def test_build_hands_everything_to_the_builder():
    model = catalog.build("mobilenet", "nano", image_shape=(32, 48, 1), num_classes=5, normalize=None)
    assert model.input_shape == (None, 32, 48, 1)
    assert model.output_shape == (None, 5)
    assert catalog.build("multi_layer_perceptron", "nano", image_shape=(4, 4, 1), num_classes=3).name == "mlp"


PROBE = """
import sys
import tfdl; tfdl.topics()
print(*{"tensorflow", "keras", "numpy", "matplotlib", "scipy"} & set(sys.modules))
"""


def test_import_is_light():
    probe = subprocess.run([sys.executable, "-c", PROBE], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not probe.stdout.split()


def test_unknown_public_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match="verify_export"):
        tfdl.verify  # noqa: B018
    assert {"build", "topics", "export_model", "load_weights", "save_weights", "verify_export", "Run"} <= set(dir(tfdl))
