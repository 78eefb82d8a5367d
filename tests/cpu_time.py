"""Where the suite's time goes: `pytest --cpu` prints CPU seconds by file and test, processes and fixtures included."""

import os
import time
from collections import Counter

import pytest

from tests import forked

SHOWN = 25  # files


BEFORE = pytest.StashKey()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    item.stash[BEFORE] = spent()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """The report of the tear-down, the last of a test, carries what all of it took to the process that prints."""
    report = yield
    if call.when == "teardown":
        report.user_properties = [("cpu", spent() - item.stash[BEFORE])]
    return report


def spent():
    """CPU seconds of this process, of those that it has started and waited for, and of the forked ones."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system + forked.cpu_seconds()


def pytest_terminal_summary(terminalreporter):
    files, tests = Counter(), Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            cpu = dict(getattr(report, "user_properties", ())).get("cpu")
            if cpu is not None:
                tests[report.nodeid] += cpu
                files[report.nodeid.partition("::")[0]] += cpu
    terminalreporter.section(f"{files.total():.0f} CPU seconds in tests")
    for counter in (files, tests):
        for name, cpu in counter.most_common(SHOWN):
            terminalreporter.write_line(f"{cpu:7.1f} s  {name}")
        terminalreporter.write_line("")
