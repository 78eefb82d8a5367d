"""The tool that measures reading: folders as they are promised, ratios of pairs, and one small comparison for real."""

import json
import re

import numpy as np
import pytest

from tools import bench_data

TINY = bench_data.Kind(stored=(30, 40), image_size=12, files=6, different=4, target=1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return bench_data.make_folder(tmp_path_factory.mktemp("pictures") / "tiny", TINY)


def test_folder_holds_different_pictures_and_links_to_them(folder):
    files = sorted((folder / "train").rglob("*.jpg"))
    assert len(files) == 6 and len({file.stat().st_ino for file in files}) == 4
    assert len({file.read_bytes() for file in files}) == 4
    assert bench_data.picture((30, 40), 0).size == (40, 30)


def test_a_ratio_is_of_one_pair_and_the_pairs_run_in_turns():
    now, calls = [0.0], []

    def call(name, seconds):
        left = iter(seconds)

        def run():
            calls.append(name)
            now[0] += next(left)

        return run

    ratios = bench_data.paired(call("a", [9, 1, 10]), call("b", [9, 2, 30]), 2, lambda: now[0])
    assert ratios == [2.0, 3.0] and "".join(calls) == "ababab"


def test_small_comparison_gives_a_whole_row(folder):
    ticks = iter(np.arange(1.0, 100.0))
    row = bench_data.compared("tiny", folder, TINY, 2, lambda: next(ticks))
    assert row["ratio"] == row["low"] == row["high"] == 1.0 and row["pairs"] == 2
    assert row["stored"] == "40x30" and row["decibels"] > row["decibels_of_keras"] > 15
    assert re.search(r"tiny +40x30 to 12 +1\.00 \[1\.00, 1\.00\] of 2 +decibels", bench_data.line(row))
    assert "below 2" in bench_data.line(row | {"target": 2.0})
    json.dumps(row)


def test_memory_is_measured_of_few_and_many_files(tmp_path, monkeypatch):
    seen = []

    def measured(folder, image_size, held):
        seen.append((len(list((folder / "train").rglob("*.jpg"))), image_size, held))
        return {"megabytes": 1.0, "seconds_to_load": 0.1}

    monkeypatch.setattr(bench_data, "measured", measured)
    kinds = {"tiny": bench_data.Kind((8, 8), 8, 4, 2, 1.0)}
    rows = bench_data.memory_rows(tmp_path, kinds, many=9, small=4)
    assert seen == [(4, 8, "anew"), (9, 8, "anew"), (8, 224, "held")] and [row["files"] for row in rows] == [4, 9, 8]


def test_memory_of_a_set_counts_what_comes_on_top(folder, monkeypatch):
    monkeypatch.setattr(bench_data.images, "CACHE_BYTES", 0)
    facts = bench_data.memory_of(str(folder), 12, held=True)
    assert 0 <= facts["megabytes"] < 100 and facts["seconds_to_load"] >= 0
