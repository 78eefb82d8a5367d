"""`tfdl launch`: flags become a `Launch`, and wrong ones one sentence."""

import sys

import pytest

from tfdl.__main__ import main
from tfdl.commands import launch
from tfdl.distribution.local_cluster import Launch


@pytest.fixture
def started(monkeypatch):
    """What would have been started: a list of (command, `Launch`)."""
    found = []
    monkeypatch.setattr(launch, "supervise", lambda command, how: found.append((command, how)) or 75)
    return found


def test_flags_and_command_reach_the_supervisor_and_its_code_comes_back(started):
    words = ["--workers", "3", "--restarts", "0", "--grace", "1.5", "--hang-after", "9", "--", "run", "x", "--workers"]
    assert main(["launch", *words]) == 75
    ((command, how),) = started
    assert command == [sys.executable, "-m", "tfdl", "run", "x", "--workers"]
    assert how == Launch(workers=3, restarts=0, grace=1.5, hang_after=9.0)
    main(["launch", "--hosts", "a:1,b:2", "--index", "1", "--", "run", "x"])
    assert started[1][1] == Launch(hosts=("a:1", "b:2"), index=1)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--workers", "2"], "needs a command"),
        (["--workers", "2", "--"], "needs a command"),
        (["--workers", "0", "--", "run", "x"], "workers is 0; give 1 or more"),
        (["--workers", "1000000", "--", "run", "x"], "at most 256"),
        (["--grace", "nan", "--", "run", "x"], "grace is nan; give 0 or more"),
        (["--hang-after", "NaN", "--", "run", "x"], "hang_after is nan; give 1 or more"),
        (["--hang-after=-inf", "--", "run", "x"], "hang_after is -inf"),
        (["--restarts", "-1", "--", "run", "x"], "restarts is -1"),
        (["--hosts", "a:1,b:2", "--index", "-1", "--", "run", "x"], "index is -1; 2 hosts are numbered from 0"),
        (["--hosts", "a:99999", "--", "run", "x"], "'a:99999' is not HOST:PORT"),
        (["--hosts", ",", "--", "run", "x"], "'' is not HOST:PORT"),
        (["--hosts", "a:1,a:1", "--", "run", "x"], "listed twice"),
    ],
)
def test_wrong_numbers_are_one_sentence_and_nothing_starts(started, capsys, words, message):
    assert main(["launch", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not started


def test_help_says_who_can_reach_the_workers(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["launch", "--help"])
    assert stop.value.code == 0
    assert "listen on all network interfaces" in capsys.readouterr().out
