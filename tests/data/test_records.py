"""Records: every kind of file and folder, what the first line is, and the line that an error names."""

import gzip
import json
import sys

import pytest

from tfdl.data.records import names_in, read

ROWS = [{"text": "a, b \u2028 c", "label": "x"}, {"text": 'says "no"', "label": "y"}, {"text": "", "label": "x"}]
CSV = 'text,label\r\n"a, b \u2028 c",x\r\n"says ""no""",y\r\n\r\n"",x\r\n'
TSV = "text\tlabel\na, b \u2028 c\tx\n" + 'says "no"\ty\n\n\tx\n'
JSONL = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)


@pytest.mark.parametrize("suffix, content", [(".csv", CSV), (".tsv", TSV), (".jsonl", JSONL)])
def test_kinds_of_files_hold_the_same_rows_packed_or_not(tmp_path, suffix, content):
    plain, packed = tmp_path / f"t{suffix}", tmp_path / f"t{suffix}.gz"
    plain.write_bytes(b"\xef\xbb\xbf" + content.encode())
    packed.write_bytes(gzip.compress(content.encode()))
    assert read(plain) == read(packed) == {"train": ROWS}


@pytest.mark.parametrize(
    "content, columns, first",
    [
        ("text\tlabel\ngood\t1\n", None, {"text": "good", "label": "1"}),
        ("good film\t1\nbad film\t0\n", None, {"0": "good film", "1": "1"}),  # not names: a space, a number
        ("yes\tgood\nyes\tbad\n", None, {"0": "yes", "1": "good"}),  # a name does not come again
        ("text\ttext\na\tb\n", None, {"0": "text", "1": "text"}),
        ("good\tyes\nbad\tno\n", ("text", "label"), {"text": "good", "label": "yes"}),
    ],
)
def test_first_line_is_names_of_columns_or_a_row(tmp_path, content, columns, first):
    (tmp_path / "t.tsv").write_text(content)
    assert read(tmp_path / "t.tsv", columns=columns)["train"][0] == first


def test_one_file_for_each_split_by_folder_or_by_the_beginning_of_its_name(tmp_path):
    for name, label in {"train": "a", "dev": "b", "Test": "c"}.items():
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / f"{name}.csv").write_text(f"text,label\nhello,{label}\n")
        (tmp_path / f"talk.{name}.tsv").write_text(f"text\tlabel\nhello\t{label}\n")
    expected = {
        split: [{"text": "hello", "label": label}] for split, label in zip(("train", "validation", "test"), "abc")
    }
    assert read(tmp_path / "set") == read(tmp_path / "talk") == expected
    assert list(read(tmp_path / "set")) == ["train", "validation", "test"]
    (tmp_path / "other.train.tsv").write_text("1\t2\n")
    with pytest.raises(ValueError, match="files of several sets, 'talk' and 'other' among them; add the beginning"):
        read(tmp_path)
    (tmp_path / "set" / "valid.jsonl").write_text("{}")
    with pytest.raises(ValueError, match="dev.csv and valid.jsonl are both the split 'validation'; keep one"):
        read(tmp_path / "set")


def test_folders_of_classes_with_and_without_splits(tmp_path):
    for split, label, text in [("train", "neg", "bad"), ("train", "pos", "good"), ("test", "neg", "dull")]:
        place = tmp_path / "aclImdb" / split / label
        place.mkdir(parents=True)
        (place / "0_1.txt").write_text(text + "\n")
    (tmp_path / "aclImdb" / "train" / "unsup").mkdir()
    (tmp_path / "aclImdb" / "train" / "unsup" / "0_0.txt").write_text("?")
    (tmp_path / "aclImdb" / "train" / "urls_neg.txt").write_text("http")
    train = [{"text": "bad", "label": "neg"}, {"text": "good", "label": "pos"}]
    assert read(tmp_path / "aclImdb") == {"train": train, "test": [{"text": "dull", "label": "neg"}]}
    assert read(tmp_path / "aclImdb" / "train") == {"train": train}


def test_json_values_are_strings_and_whole_numbers(tmp_path):
    row = {"text": "a", "number": 3, "is": True, "none": None, "list": [1, "ü"], "share": 0.5}
    (tmp_path / "t.jsonl").write_text(json.dumps(row) + "\n")
    expected = {"text": "a", "number": 3, "is": 1, "none": "", "list": '[1, "ü"]', "share": "0.5"}
    (found,) = read(tmp_path / "t.jsonl")["train"]
    assert found == expected and type(found["is"]) is int


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("t.jsonl", b'{"a": 1}\n\n{"a": \n', "t.jsonl, line 3, is no JSON"),
        ("t.jsonl", b"[1]\n", "t.jsonl, line 1, is no JSON object"),
        ("t.jsonl", b'{"a": 1}\n{"b": 1}\n', "t.jsonl, line 2, has the columns b where the first has a"),
        ("t.tsv", b"good film\t1\n\nbad\n", r"t.tsv, line 3, has 1 fields where there are 2 columns .0, 1."),
        ("t.csv", b'a,b\n"two\nlines",1\n1,2,3\n', "t.csv, line 4, has 3 fields"),
        ("t.csv", b'a,b\n1,"2\n', "t.csv, line 2, is no CSV"),
        ("t.tsv", b"a\tb\ncaf\xe9\t1\n", "t.tsv, line 2, is no UTF-8; convert"),
        ("t.tsv.gz", gzip.compress(b"a\tb\n1\t2\n" * 99, mtime=0)[:-9], "t.tsv.gz cannot be unpacked"),
        ("t.tsv.gz", b"a\tb\n", "t.tsv.gz cannot be unpacked"),
        ("t.csv", b"\n \n", "t.csv has no rows"),
        ("t.xml", b"<a/>", "t.xml is none of .tsv, .csv, .jsonl"),
    ],
)
def test_errors_name_file_and_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read(tmp_path / name)


def test_names_are_looked_for_below_the_data_directory_and_the_nearest_are_told(tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "reviews.train.jsonl.gz").write_bytes(gzip.compress(b'{"text": "a"}', mtime=0))
    expected = {"train": [{"text": "a"}]}
    assert read("reviews", data_dir=tmp_path) == read("text/reviews", data_dir=tmp_path) == expected
    assert names_in(tmp_path) == ["reviews"]
    with pytest.raises(FileNotFoundError, match="no records 'revews'.*in a folder|nearest names are reviews"):
        read("revews", data_dir=tmp_path)


def test_folder_that_datasets_has_saved_names_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)  # so that importing it fails
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train"]}')
    with pytest.raises(ImportError, match="Hugging Face's package datasets: pip install 'tfdl\[datasets\]'"):
        read(tmp_path)


@pytest.mark.extras
def test_folder_that_datasets_has_saved_is_read(tmp_path):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed: pip install 'tfdl[datasets]'")
    label = datasets.ClassLabel(names=["neg", "pos"])
    features = datasets.Features({"text": datasets.Value("string"), "label": label})
    table = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, -1]}, features=features)
    table.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": table, "valid": table, "other": table}).save_to_disk(tmp_path / "several")
    rows = [{"text": "a", "label": "pos"}, {"text": "b", "label": -1}]
    assert read(tmp_path / "one") == {"train": rows}
    assert read(tmp_path / "several") == {"train": rows, "validation": rows}


@pytest.mark.data
def test_sets_in_the_data_directory(data_dir):
    rows = read("sst2", columns=("text", "label"))
    assert {split: len(found) for split, found in rows.items()} == {"train": 6920, "validation": 872, "test": 1821}
    assert rows["train"][1]["label"] == "0" and rows["train"][1]["text"].startswith("apparently reassembled")
    assert set(read("ag_news_mini")["test"][0]) == {"label", "title", "description"}
    (first, *_) = read("multi30k_en_de")["train"]
    assert first["0"].startswith("Two young, White males") and first["1"].startswith("Zwei junge")
    questions = read("xquad/en")["test"]
    answers = json.loads(questions[0]["answers"])
    start, answer = answers["answer_start"][0], answers["text"][0]
    assert len(questions) == 1190 and questions[0]["context"][start : start + len(answer)] == answer
    with pytest.raises(ValueError, match="'mnist' has the features image, label; records are texts"):
        read("mnist")
