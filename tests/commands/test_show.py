"""`tfdl list` and `tfdl show`: what there is, where it stands, and what it costs, within a hundred columns."""

import types

import pytest

import tfdl.__main__ as command_line
from tfdl.catalog import ALIASES, STAGES, TOPICS, find, following, topics
from tfdl.commands import list as list_command
from tfdl.commands import show
from tfdl.interop.presets import PRESETS


def tfdl(*words):
    """The command in this process: its exit code."""
    return command_line.main(list(words))


@pytest.fixture(autouse=True)
def same_process(monkeypatch):
    """What `main` does to the process for good must not leak into other tests."""
    monkeypatch.setenv("TFDL_VERBOSE", "")


@pytest.mark.parametrize(
    "words, message",
    [
        (["list", "--stage", "7"], "no stage 7"),
        (["show", "resnt"], "no topic 'resnt'; the nearest are 'resnet', "),
        (["show", "relu", "--flops"], "counts image models that are built, and ReLU ('relu') is none"),
        (["show", "gpt", "--flops"], "('gpt') is none"),
        (["show", "mobilenet", "--flops", "--variant", "v9"], "mobilenet has no variant 'v9'; it has nano, v1, v2"),
        (["show", "vit", "--flops", "--image-size", "225"], "do not tile images of 225 x 225"),
        (["show", "swin", "--flops", "--image-size", "0"], "at least 1; it is 0"),
        (["show", "mobilenet", "--variant", "v2"], "add --flops"),
    ],
)
def test_mistake_is_one_sentence_and_code_2(words, message, capsys):
    assert tfdl(*words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error
    assert error.count("\n") == 1


# --- list ------------------------------------------------------------------------------------------------------------


def test_list_groups_by_stage_and_section_and_marks_what_is_built():
    text = list_command.table(topics(), list_command.plain)
    headings = [line for line in text.splitlines() if line.startswith("Stage ")]
    assert headings == [f"Stage {number}: {name}" for number, name in STAGES.items()]
    sections = [line.strip() for line in text.splitlines() if line.startswith("  ") and line[2].isalpha()]
    assert sections == list(dict.fromkeys(topic.section for topic in TOPICS if topic.stage == 1)) + [
        section for stage in range(2, 7) for section in dict.fromkeys(t.section for t in TOPICS if t.stage == stage)
    ]
    marked = [line.split()[1] for line in text.splitlines() if line.startswith("  * ")]
    assert marked == [topic.key for topic in topics(built=True)]
    built = len(topics(built=True))
    assert text.splitlines()[-1].startswith(f"* marks implemented topics: {built} of {len(TOPICS)}.")


def test_list_is_aligned_and_fits_a_hundred_columns():
    text = list_command.table(topics(), list_command.plain)
    assert max(map(len, text.splitlines())) <= 100
    columns = {line.index(t.title) for t in TOPICS for line in text.splitlines() if line[4:].split("  ")[0] == t.key}
    assert len(columns) == 1


def test_unbuilt_leaves_out_what_is_built(capsys):
    assert tfdl("list", "--unbuilt", "--stage", "5") == 0
    text = capsys.readouterr().out
    planned = [topic.key for topic in TOPICS if topic.stage == 5 and topic.module is None and topic.recipe is None]
    assert planned and all(key in text for key in planned)
    built = [topic.key for topic in topics(built=True) if topic.stage == 5]
    assert not set(built) & set(text.split())
    assert list_command.table((), list_command.plain) == "All topics here are implemented."


@pytest.mark.parametrize(
    "source, short",
    [
        ("He et al. 2015, arXiv:1512.03385", "He et al. 2015"),
        ("Bradbury et al. 2018, software; Heek et al. 2020", "Bradbury et al. 2018"),
        ("A Very Long Name & Another Very Long Name 2020", "A Very Long Name &..."),
    ],
)
def test_source_is_shortened_to_author_and_year(source, short):
    assert list_command.author_and_year(source, 26) == short


@pytest.mark.parametrize("terminal, no_color, colored", [(True, "", True), (True, "1", False), (False, "", False)])
def test_color_only_on_a_terminal_without_no_color(terminal, no_color, colored, monkeypatch):
    monkeypatch.setenv("NO_COLOR", no_color)
    assert list_command.wants_color(types.SimpleNamespace(isatty=lambda: terminal)) == colored
    assert list_command.paint("x", "bold") == "\033[1mx\033[0m"


# --- show ------------------------------------------------------------------------------------------------------------


def shown(capsys, *words):
    """Name of a row -> its text, without line breaks."""
    assert tfdl("show", *words) == 0
    rows, name = {}, None
    for line in capsys.readouterr().out.splitlines()[1:]:
        name = line[2:15].strip() or name
        rows[name] = f"{rows.get(name, '')} {line[16:].strip()}".strip()
    return rows


def test_show_tells_what_a_topic_is_where_it_stands_and_how_to_run_it(capsys):
    rows = shown(capsys, "resnet")
    assert rows["key"] == "resnet" and "arXiv:1512.03385" in rows["source"]
    assert rows["stage"] == "2 Computer vision: CNN" and rows["file"] == "tfdl/models/convnets/resnet.py"
    assert "50_keras" in rows["variants"] and rows["python"] == 'tfdl.build("resnet")'
    assert rows["prerequisites"] == "vgg, residual_connections, batch_normalization"
    assert rows["next topic"] == "densenet" and rows["command"].startswith("tfdl run classify_images --model resnet")
    assert rows["minutes"] == "about 3, on two CPU cores"


def test_show_lists_the_published_weights_of_each_variant(capsys):
    text = shown(capsys, "resnet")["weights"]
    assert 'tfdl.build("resnet", weights="timm/resnet18.a1_in1k")' in text
    assert "50_keras: keras/resnet50 101_keras: keras/resnet101" in text
    for variants in PRESETS["resnet"].values():
        assert all(preset.name in text for preset in variants)
    assert "weights" not in shown(capsys, "lenet")


def test_show_of_what_is_not_built_still_tells_the_way_there(capsys):
    pairs = [(topic, after) for topic, after in zip(TOPICS, TOPICS[1:]) if not topic.built]
    for topic, after in pairs[:2]:
        rows = shown(capsys, topic.key)
        assert rows["command"] == "not built yet" and "minutes" not in rows and "file" not in rows
        assert rows["prerequisites"] == (", ".join(topic.prerequisites) or "none")
        assert rows["next topic"] == (after.key if after.built else f"{after.key} (not built yet)")
    assert shown(capsys, "linear_algebra")["prerequisites"] == "none"
    assert shown(capsys, TOPICS[-1].key)["next topic"] == "none: this is the last"


@pytest.mark.parametrize(
    "name", ["gradient_descent", "linear_regression", "logistic_regression", "softmax", "overfitting"]
)
def test_what_students_look_up_first_is_found_and_runs(name, capsys):
    assert shown(capsys, name)["command"].startswith("tfdl run ")


def test_other_names_of_a_topic_are_found_and_shown(capsys):
    assert shown(capsys, "transfer_learning") == shown(capsys, "pretrained_weights")
    assert "transfer_learning" in shown(capsys, "pretrained_weights")["also called"]


@pytest.mark.parametrize("key", [topic.key for topic in TOPICS])
def test_every_card_fits_a_hundred_columns(key):
    assert max(map(len, show.card(find(key)).splitlines())) <= 100


def test_the_path_leads_through_all_topics():
    topic, seen = TOPICS[0], []
    while topic:
        seen.append(topic)
        topic = following(topic)
    assert tuple(seen) == TOPICS
    assert not ALIASES.keys() & {topic.key for topic in TOPICS}


def test_show_reads_variants_without_importing_the_module():
    from tfdl.models.convnets.mobilenet import VARIANTS

    assert show.variants(show.source_of(find("mobilenet"))) == list(VARIANTS)
    source = 'VARIANTS: dict = {"a": 1, **x}\nVARIANTS["b"] = 2\nVARIANTS |= {"c": 3}\nOTHER = {"d": 3}\n'
    assert show.variants(source) == ["a", "b", "c"]


def test_image_models_are_told_by_their_text():
    source = "def a(*, image_shape=(1, 1, 1)):\n    pass\ndef b(*, image_shape):\n    pass\ndef c(x):\n    pass\n"
    assert [show.takes_images(source, name) for name in "abcd"] == [True, False, False, False]


# --- costs -----------------------------------------------------------------------------------------------------------


def test_flops_of_all_variants_are_a_table(capsys):
    assert tfdl("show", "lenet", "--flops") == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["variant", "image", "parameters", "multiply-adds", "MB", "as", "float32"]
    assert [row.split()[0] for row in rows] == ["nano", "lenet5", "original"]
    assert rows[1].split() == ["lenet5", "32", "x", "32", "x", "1", "61,706", "416,520", "0.25"]
    assert len({len(row) for row in (heading, *rows)}) == 1


def test_flops_are_printed_one_by_one_and_equal_variants_are_counted_once(monkeypatch):
    from tfdl.core import outline

    built, build = [], outline.outline
    monkeypatch.setattr(outline, "outline", lambda builder, name, **options: built.append(name) or build(builder, name))
    lines = show.costs(find("lenet"))
    assert next(lines).startswith("variant") and not built
    assert next(lines).startswith("nano") and built == ["nano"]
    names = ["v3_small", "v3_small_keras", "v3_small_timm"]
    rows = list(show.counted(find("mobilenet"), names, 20, None))[1:]
    assert built == ["nano", "v3_small"]
    assert [row.split()[0] for row in rows] == names and len({row[20:] for row in rows}) == 1


def test_flops_are_those_of_what_a_variant_was_made_for_or_of_the_size_that_is_asked(capsys):
    tables = []
    for flags in ([], ["--image-size", "64"]):
        assert tfdl("show", "densenet", "--flops", "--variant", "small_images", *flags) == 0
        tables.append(capsys.readouterr().out.splitlines()[1].split())
    usual, larger = tables
    assert usual[1:6] == ["32", "x", "32", "x", "3"] and larger[1:6] == ["64", "x", "64", "x", "3"]
    assert usual[6] == larger[6]
    products = [int(row[7].replace(",", "")) for row in tables]
    assert products[1] == pytest.approx(4 * products[0], rel=1e-3)  # all but the head's
