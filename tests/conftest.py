"""Fixtures: one Incus project and one gateway for the whole run, private gateways for tests that hurt theirs."""
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness.incus import Incus, Lifecycle  # noqa: E402
from harness.rig import CONTROL_USER, Rig, binaries, make_users  # noqa: E402
from harness.user import DOORS  # noqa: E402


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup(item):
    """Remembers where the daemons' logs stood, for pytest_runtest_makereport."""
    item.log_marks = {rig: rig.log_marks() for rig in Rig.all}
    yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A failure shows what the daemons have logged since the test's setup began."""
    report = (yield).get_result()
    if report.failed:
        for rig in Rig.all:
            marks = item.log_marks.get(rig, (0, 0))
            if rig.log_marks() != marks:
                report.sections.append((f"daemons of rig {rig.number}", rig.logs(marks)[-8000:]))


def pytest_terminal_summary(terminalreporter):
    """What failed once and passed when it was run again, with the first try's reason."""
    reports = terminalreporter.stats.get("rerun", [])
    if reports:
        terminalreporter.section("what was run again, and why")
    for report in reports:
        terminalreporter.write_line(f"{report.nodeid} ({report.when})")
        terminalreporter.write_line(report.longreprtext[-2000:])
        for title, text in report.sections:
            terminalreporter.write_line(f"---- {title}\n{text[-2000:]}")


@pytest.fixture(scope="session")
def temp():
    """Private to this run; daemons of other users must be able to pass through it."""
    folder = Path(tempfile.mkdtemp(prefix="containarium-e2e."))
    os.chmod(folder, 0o755)
    yield folder
    if not os.environ.get("CONTAINARIUM_TEST_KEEP"):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def bin_dir():
    return binaries()


@pytest.fixture(scope="session")
def incus(temp):
    if os.geteuid() != 0:
        pytest.skip("the end-to-end tests need root, for Incus and for the daemons' users")
    make_users()
    incus = Incus.prepare(temp, CONTROL_USER)
    before = set(incus.instances())
    yield incus
    left = set(incus.instances()) - before
    incus.close()
    assert not left, f"boxes left over by the tests: {left}"


@pytest.fixture(scope="session")
def rig(incus, temp):
    """The gateway most tests share."""
    rig = Rig(incus, temp).start()
    yield rig
    rig.stop()


@pytest.fixture
def make_rig(incus, temp):
    """make_rig(gateway={"login_grace": "2s"}) -> a started gateway of the test's own."""
    rigs = []

    def make(start=True, **overrides):
        rig = Rig(incus, temp, **overrides)
        rigs.append(rig)
        return rig.start() if start else rig

    yield make
    for rig in rigs:
        rig.stop()


@pytest.fixture(params=DOORS)
def door(request):
    """The two ways in: `ssh alice@gateway` and `ssh -J alice@gateway alice@alice-container`."""
    return request.param


@pytest.fixture(scope="session")
def alice(rig):
    """A user with a running box, for tests that leave both as they found them."""
    user = rig.user("alice")
    yield user
    rig.delete(user)


@pytest.fixture(scope="session")
def bob(rig):
    """Another one, as a neighbour."""
    user = rig.user("bob")
    yield user
    rig.delete(user)


@pytest.fixture
def new_user(rig):
    """new_user("name", *create_options) -> a user of the test's own on the shared gateway, deleted afterwards."""
    users = []

    def make(name, *options, **keywords):
        user = rig.user(name, *options, **keywords)
        users.append(user)
        return user

    yield make
    for user in users:
        if user in rig.users:
            rig.delete(user)


@pytest.fixture
def lifecycle(incus):
    """Incus' own record of what happens to boxes during the test."""
    with Lifecycle(incus) as record:
        yield record
