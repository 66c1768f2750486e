"""Client x scenario, through both doors: every test here fills cells of the table that closes the run."""
import pytest

from table import DOCUMENT, GAPS

_results = {}


def pytest_configure(config):
    config.addinivalue_line("markers", "interop(client, scenario): the row of the table a test fills")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    mark = item.get_closest_marker("interop")
    if mark is None or (report.when != "call" and report.passed):
        return
    client, scenario = mark.args
    params = getattr(getattr(item, "callspec", None), "params", {})
    doors = [params["door"]] if "door" in params else mark.kwargs.get("doors", ["direct"])
    for door in doors:
        cells = _results.setdefault((client, scenario), {})
        # Several tests of one cell: the worst of them counts.
        word = "ok" if report.passed else "skipped" if report.skipped else "FAILED"
        if cells.get(door) in (None, "ok") or word == "FAILED":
            cells[door] = word


def pytest_terminal_summary(terminalreporter):
    if not _results:
        return
    for client, scenario, door in GAPS:
        _results.setdefault((client, scenario), {})[door] = "-"
    terminalreporter.section("clients x scenarios, through both doors")
    width = [max(len(row[k]) for row in _results) for k in (0, 1)]
    terminalreporter.write_line(f"{'client':{width[0]}}  {'scenario':{width[1]}}  direct   jump")
    for (client, scenario), cells in sorted(_results.items()):
        terminalreporter.write_line(f"{client:{width[0]}}  {scenario:{width[1]}}  "
                                    f"{cells.get('direct', ''):7}  {cells.get('jump', '')}".rstrip())
    if any("-" in cells.values() for cells in _results.values()):
        terminalreporter.write_line(f"-: see {DOCUMENT.relative_to(DOCUMENT.parents[1])}")


@pytest.fixture
def box_known_hosts(alice):
    """Public host keys by name as a client without OpenSSH's options wants them: {"gateway": {...}, "box": {...}}"""
    keys = {"gateway": {}, "box": {}}
    for line in alice.known_hosts.read_text().splitlines():
        host, kind, blob = line.split()
        keys["box" if host == alice.box else "gateway"][kind] = blob
    return keys
