"""What docs/interop.md and the table at the end of the run must agree on."""
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/interop.md"

# (client, scenario, door) that cannot work because of the client: docs/interop.md gives the same reasons at length.
GAPS = {
    ("curl", "sftp", "jump"): "curl has no jump host and takes no connected socket",
}
