"""Terraform with a stand-in for the google provider (see provider.py), and what it renders."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REPO = HERE.parents[1]
MODULE = REPO / "terraform/gce"
sys.path.insert(0, str(HERE))


def pytest_configure(config):
    config.addinivalue_line("markers", "incus: needs root and Incus")


class Terraform:
    """The module, in a folder for each state."""

    def __init__(self, folder, environment):
        self.folder, self.examples = folder, {}
        (folder / "terraformrc").write_text("disable_checkpoint = true\n")
        self.environment = {**os.environ, **environment, "TF_DATA_DIR": str(folder / "data"),
                            "TF_CLI_CONFIG_FILE": str(folder / "terraformrc"), "TF_IN_AUTOMATION": "1"}
        self.run("init", "-input=false")

    def run(self, verb, *arguments, state="none", check=True, timeout=120):
        place = self.folder / state
        if not place.exists():
            own = shutil.ignore_patterns(".terraform*", "*.tfstate*", "terraform.tfvars")  # what somebody works with
            shutil.copytree(MODULE, place, ignore=own)
        result = subprocess.run(["terraform", verb, "-no-color", *map(str, arguments)], cwd=place, env=self.environment,
                                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
        # Terraform folds its messages to the width of a terminal.
        result.message = " ".join((result.stdout + result.stderr).replace("│", " ").split())
        assert not check or result.returncode == 0, result.stdout + result.stderr
        return result

    def plan(self, example, *options, state="none", check=True, **variables):
        """The plan as JSON's dictionary; with check=False, the failed run."""
        (self.folder / "variables.tfvars.json").write_text(json.dumps(variables))
        files = [f"-var-file=examples/{example}.tfvars", f"-var-file={self.folder / 'variables.tfvars.json'}"]
        result = self.run("plan", "-input=false", "-out=plan", *files, *options, state=state, check=check)
        if result.returncode != 0:
            return result
        return json.loads(self.run("show", "-json", "plan", state=state).stdout)

    def example(self, name):
        """The plan of an example as it is, from nothing; made once."""
        if name not in self.examples:
            self.examples[name] = self.plan(name)
        return self.examples[name]

    def apply(self, example, state, **variables):
        """Plans and makes it; returns the outputs."""
        self.plan(example, state=state, **variables)
        self.run("apply", "-input=false", "plan", state=state)
        shown = self.run("output", "-json", state=state).stdout
        return {name: output["value"] for name, output in json.loads(shown).items()}


@pytest.fixture(scope="session")
def terraform(tmp_path_factory):
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed here")
    pytest.importorskip("grpc", reason="the stand-in provider needs python3-grpcio")
    pytest.importorskip("msgpack", reason="the stand-in provider needs python3-msgpack")
    import provider
    folder = tmp_path_factory.mktemp("terraform")
    server, environment = provider.serve(folder)
    yield Terraform(folder, environment)
    server.stop(0)


def planned(plan, kind):
    """{key: values} of the planned resources of a kind; the key is its name where there is only one."""
    return {resource.get("index", resource["name"]): resource["values"]
            for resource in plan["planned_values"]["root_module"]["resources"] if resource["type"] == kind}


def startup_scripts(plan):
    return {name: instance["metadata"]["startup-script"]
            for name, instance in planned(plan, "google_compute_instance").items()}
