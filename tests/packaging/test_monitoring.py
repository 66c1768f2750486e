"""The dashboard and the alert rules name figures that exist."""
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "packaging/monitoring"


def figures():
    """Names of metrics in the source, with what a histogram adds."""
    text = (ROOT / "src/control/metrics.c").read_text()
    names = set(re.findall(r'(?:number|head)\(out, "([a-z_]+)"', text)) | set(re.findall(r'out, "(user_[a-z_]+)"', text))
    for name in re.findall(r'histogram\(out, "([a-z_]+)"', text):
        names |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    return {f"containarium_{name}" for name in names}


@pytest.mark.parametrize("file", ["alerts.yml", "dashboard.json"])
def test_figures_exist(file):
    used = set(re.findall(r"containarium_[a-z_]+", (FOLDER / file).read_text()))
    assert used and used <= figures(), used - figures()


def test_dashboard_is_json_with_unique_panels():
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    assert len({p["id"] for p in panels}) == len(panels) > 5


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_rules_parse():
    subprocess.run(["promtool", "check", "rules", FOLDER / "alerts.yml"], check=True)
