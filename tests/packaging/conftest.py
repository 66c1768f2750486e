"""Marks: `incus` is what tests/run.sh --quick leaves out."""


def pytest_configure(config):
    config.addinivalue_line("markers", "incus: needs root and Incus")
