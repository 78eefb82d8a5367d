"""`tfdl predict`: every form of input and output, broken files, exit codes."""

import csv
import io
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

import tfdl
import tfdl.__main__ as command_line
from tests.inference.trained import NAMES, same_start  # noqa: F401 (fixture)
from tfdl.commands import predict


def run(*words):
    return command_line.main(["predict", *map(str, words)])


@pytest.fixture
def here(photos, monkeypatch):
    """The working folder is the one that holds photos/."""
    monkeypatch.chdir(photos.parent)
    return photos


@pytest.fixture
def source(run_folder):
    """The source that loads in the shortest time."""
    return run_folder / "export" / "model.tflite"


def test_table_is_aligned_and_names_the_classes(run_folder, here, capsys):
    assert run(run_folder, "photos", "--top", 2) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == 10 and err == ""
    for number, line in enumerate(lines):
        path, label, share, percent, *rest = line.split()
        assert path == f"photos/{'' if number < 7 else 'more/'}digit{number}.{'png' if number < 7 else 'PNG'}"
        assert label == NAMES[number] and percent == "%" and float(share) > 50 and len(rest) == 3
    assert len({line.index("%") for line in lines}) == 1


def test_json_has_an_object_on_each_line_with_the_same_numbers_as_python(run_folder, here, capsys):
    assert run(run_folder / "export", "photos", "--json", "--top", 3) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    answers = tfdl.load(run_folder / "export").predict("photos")
    assert [row["path"] for row in rows] == [answer.path for answer in answers]
    for row, answer in zip(rows, answers):
        assert [(c["label"], c["probability"]) for c in row["classes"]] == answer.top(3)
        assert row["classes"][0]["number"] == answer.number


def test_csv_survives_commas_in_names(source, here, capsys):
    os.rename("photos/digit1.png", 'photos/one, "1".png')
    assert run(source, 'photos/one, "1".png', "--csv", "--top", 1) == 0
    header, row = csv.reader(io.StringIO(capsys.readouterr().out))
    assert header == ["path", "label_1", "probability_1"]
    assert row[:2] == ['photos/one, "1".png', "one"] and 0.5 < float(row[2]) <= 1


def test_more_classes_than_there_are_leave_the_columns_empty(source, here, capsys):
    assert run(source, "photos/digit1.png", "--csv", "--top", 12) == 0
    header, row = csv.reader(io.StringIO(capsys.readouterr().out))
    assert len(header) == len(row) == 25 and row[-4:] == ["", "", "", ""]


@pytest.mark.parametrize(
    "words, count",
    [
        (["photos/*.png"], 7),
        (["photos/**/*.PNG"], 3),
        (["photos/digit[12].png", "photos/more"], 5),
        (["photos/digit1.png", "photos/digit1.png"], 2),
    ],
)
def test_files_folders_and_patterns(words, count, source, here, capsys):
    assert run(source, *words, "--json") == 0
    assert len(capsys.readouterr().out.splitlines()) == count


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(source, here, capsys):
    os.rename("photos/digit4.png", "photos/digit[4].png")
    assert run(source, "photos/digit[4].png", "--json") == 0
    assert json.loads(capsys.readouterr().out)["classes"][0]["label"] == "four"


def test_list_on_standard_input(source, here, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("photos/digit2.png\n\nphotos/more/digit8.PNG\r\nphotos/digit5.png"))
    assert run(source, "-", "--json", "--batch-size", 1) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["classes"][0]["label"] for row in rows] == ["two", "eight", "five"]


def test_broken_files_are_named_and_counted_and_the_others_answered(source, here, capsys):
    (here / "digit3.png").write_bytes(b"no picture")
    (here / "digit5.png").write_bytes(b"")
    os.mkfifo(here / "digit6b.png")
    assert run(source, "photos", "photos/gone.png", "photos/*.bmp", "--json") == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 8
    for name in ("photos/digit3.png: ", "photos/digit5.png: ", "photos/digit6b.png: it is not a regular file",
                 "photos/gone.png: no such file", "photos/*.bmp: no file matches"):  # fmt: skip
        assert name in err
    assert err.splitlines()[-1].endswith("5 could not be read.")
    assert "Traceback" not in err


def test_nothing_to_answer_is_code_2(source, here, capsys, monkeypatch):
    (here / "empty").mkdir()
    assert run(source, "photos/empty", "--out", "drawn") == 2
    out, err = capsys.readouterr()
    assert out == "" and "no picture is in this folder (" in err and "None of the images could be read" in err
    assert not os.path.exists("drawn")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run(source, "-") == 2
    assert "There are no images: the input was empty" in capsys.readouterr().err


def test_drawings_keep_apart_on_file_systems_without_capitals():
    names = {"contact_sheet"}
    stems = ["Cat", "cat", "CAT", "Contact_Sheet", "cat-2"]
    assert [predict.unused(stem, names) for stem in stems] == ["Cat", "cat-2", "CAT-3", "Contact_Sheet-2", "cat-2-2"]


def test_out_has_a_drawing_of_each_picture_and_a_contact_sheet(source, here, capsys):
    shutil.copy("photos/digit1.png", "photos/more/digit1.png")  # the same name in another folder
    os.rename("photos/digit2.png", "photos/contact_sheet.png")
    words = ["photos/digit1.png", "photos/contact_sheet.png", "photos/more/digit1.png"]
    assert run(source, *words, "--out", "drawn", "--top", 3) == 0
    names = {"digit1.png", "digit1-2.png", "contact_sheet-2.png", "contact_sheet.png"}
    assert set(os.listdir("drawn")) == names
    for name in names:
        with Image.open(f"drawn/{name}") as image:
            pixels = np.asarray(image.convert("RGB"))
            assert min(image.size) > 250 and pixels.std() > 20  # something is drawn
    assert run(source, "photos/more/digit8.PNG", "--out", "drawn") == 0  # takes the place of the earlier ones
    assert set(os.listdir("drawn")) == {"digit8.png", "contact_sheet.png"}


def test_a_folder_with_other_things_is_left_alone(source, here, capsys):
    assert run(source, "photos/digit1.png", "--out", "photos") == 2
    assert "photos exists and contains no contact_sheet.png" in capsys.readouterr().err
    assert (here / "digit1.png").exists()


def test_labels_and_a_file_of_the_export_can_be_chosen(run_folder, here, capsys):
    here.parent.joinpath("names.txt").write_text("".join(f"the {name}\n" for name in NAMES))
    words = ["photos/more/digit7.PNG", "--labels", "names.txt", "--file", "model_uint8.tflite"]
    assert run(run_folder / "export", *words, "--top", 1) == 0
    assert "the seven" in capsys.readouterr().out


def test_names_cannot_write_to_the_terminal(source, here, capsys):
    os.rename("photos/digit1.png", "photos/\x1b[31m\n.png")
    (here / "x\x1b.png").write_text("")
    run(source, "photos")
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err and "photos/?[31m?.png" in out and "x?.png" in err


def test_many_pictures_have_a_count(capsys, monkeypatch):
    times = iter(range(0, 1000, 6))
    monkeypatch.setattr(predict.time, "monotonic", lambda: next(times))
    progress = predict.Progress(1_000, "images")
    progress.show(299)
    progress.show(640)
    progress.end(998, 2)
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("640 of 1,000 images, ") and first.endswith(" a second")
    assert last.startswith("998 images in ") and last.endswith("; 2 could not be read.")


@pytest.mark.parametrize(
    "words, message",
    [
        (["nowhere", "photos"], "There is no nowhere"),
        (["photos", "photos"], "photos holds no model"),
        (["photos/notes.txt", "photos"], "no kind of model"),
    ],
)
def test_mistake_is_one_sentence_and_code_2(words, message, here, capsys):
    assert run(*words) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and message in err and err.count("\n") == 1


@pytest.mark.parametrize("words", [["--top", "0"], ["--json", "--csv"], ["--batch-size", "x"]])
def test_wrong_flags_are_explained_by_the_parser(words, capsys):
    with pytest.raises(SystemExit) as stop:
        run("model.keras", "photo.jpg", *words)
    assert stop.value.code == 2
    assert "usage: tfdl predict" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["predict", "evaluate"])
def test_help_teaches_with_examples(name, capsys):
    with pytest.raises(SystemExit):
        command_line.main([name, "--help"])
    text = capsys.readouterr().out
    examples = text.partition("examples:\n")[2].partition("\n\n")[0]
    assert examples.count(f"tfdl {name} ") >= 3
