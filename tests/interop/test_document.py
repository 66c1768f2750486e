"""docs/interop.md has a row for every client that is tried, and gives every gap's reason."""
import re

from table import DOCUMENT, GAPS

CLIENTS = set(re.findall(r'@pytest\.mark\.interop\((?:"([^"]+)"|CLIENT)',
                         "".join(p.read_text() for p in DOCUMENT.parents[1].glob("tests/interop/test_*.py"))))


def test_every_client_has_a_row():
    text = re.sub(r"[`:,]", "", DOCUMENT.read_text())
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
    assert len(CLIENTS) > 8
    for client in CLIENTS - {""} | {"OpenSSH"}:
        assert any(all(word in row for word in client.split()) for row in rows), f"{client} has no row"


def test_every_gap_has_its_reason():
    text = " ".join(DOCUMENT.read_text().split())
    for (client, _, door), reason in GAPS.items():
        assert f"**{client} through the {door} door**: {reason}" in text
