"""terraform/gce: laid out, valid, and what it plans for each example. Real Terraform; the provider is provider.py."""
import json
import re
import shutil
import subprocess

import pytest
from conftest import MODULE, planned

EXAMPLES = {"one-spot-server": 1, "three-servers": 3, "five-servers": 5}


@pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed here")
def test_files_are_laid_out_as_terraform_does():
    result = subprocess.run(["terraform", "fmt", "-check", "-recursive", "-diff", MODULE], capture_output=True,
                            text=True)
    assert result.returncode == 0, result.stdout


def test_arguments_are_those_of_the_provider(terraform):
    """Names, types and what is required, against google_facts.txt."""
    terraform.run("validate")


def test_there_is_an_example_for_each_size():
    assert {path.stem for path in (MODULE / "examples").glob("*.tfvars")} == set(EXAMPLES)


@pytest.fixture(scope="module", params=EXAMPLES)
def example(request, terraform):
    return request.param, terraform.example(request.param)


def test_an_example_plans_its_servers(example):
    name, plan = example
    assert len(planned(plan, "google_compute_instance")) == EXAMPLES[name]
    for kind in ("google_compute_disk", "google_compute_address"):
        names = {resource["name"] for resource in planned(plan, kind).values()}
        assert len(names) >= EXAMPLES[name], names


def test_servers_are_spread_over_the_zones(example):
    _, plan = example
    instances = planned(plan, "google_compute_instance")
    assert {i["zone"] for i in instances.values()} == set(list(plan["variables"]["zones"]["value"])[:len(instances)])
    disks = planned(plan, "google_compute_disk")
    assert {name: i["zone"] for name, i in instances.items()} == {name: d["zone"] for name, d in disks.items()}


def test_the_firewall_lets_in_users_and_administrators_and_nothing_else(example):
    _, plan = example
    variables = {"load_balancer": False, "user_ranges": ["0.0.0.0/0"], "admin_ssh_port": 2200,  # the defaults
                 **{name: value["value"] for name, value in plan["variables"].items()}}
    rules = planned(plan, "google_compute_firewall").values()
    opened = {(port, range_) for rule in rules for allow in rule["allow"] for port in allow["ports"]
              for range_ in rule["source_ranges"]}
    ports = {"22"}
    if variables["load_balancer"]:
        ports |= {str(2201 + i) for i in range(variables["servers"])}
    expected = {(port, range_) for port in ports for range_ in variables["user_ranges"]}
    expected |= {(str(variables["admin_ssh_port"]), range_) for range_ in variables["admin_ranges"]}
    assert opened == expected
    assert all(allow["protocol"] == "tcp" for rule in rules for allow in rule["allow"])
    assert all(rule["target_tags"] for rule in rules)


def test_a_spot_server_is_stopped_kept_and_started_again(example):
    _, plan = example
    spot = plan["variables"]["spot"]["value"]
    instances = planned(plan, "google_compute_instance")
    jobs = planned(plan, "google_cloud_scheduler_job")
    assert set(jobs) == (set(instances) if spot else set())
    for name, instance in instances.items():
        scheduling = instance["scheduling"][0]
        # Google refuses "automatic_restart" for spot servers, and so leaves them stopped.
        assert scheduling["automatic_restart"] is not spot
        assert scheduling["instance_termination_action"] == ("STOP" if spot else None)
    for name, job in jobs.items():
        uri = job["http_target"][0]["uri"]
        assert uri.endswith(f"/zones/{instances[name]['zone']}/instances/{name}/start")


def test_administrators_keys_are_theirs_alone(example):
    name, plan = example
    by_keys = name == "five-servers"
    for instance in planned(plan, "google_compute_instance").values():
        metadata = instance["metadata"]
        assert metadata["block-project-ssh-keys"] == "TRUE"
        assert metadata["enable-oslogin"] == ("FALSE" if by_keys else "TRUE")
        assert ("ssh-keys" in metadata) == by_keys


def test_every_disk_has_its_snapshots(example):
    _, plan = example
    disks = planned(plan, "google_compute_disk")
    assert set(planned(plan, "google_compute_disk_resource_policy_attachment")) == set(disks)


# ---- input -------------------------------------------------------------------------------------------------------

def test_variables_accept_and_refuse_what_they_should(terraform):
    """terraform/gce/tests: every validation with good and bad values."""
    result = terraform.run("test", timeout=250)
    cases = re.findall(r'^run "(\w+)"', (MODULE / "tests/inputs.tftest.hcl").read_text(), re.M)
    assert len(cases) > 70
    assert f"{len(cases)} passed, 0 failed" in result.stdout


def test_every_validation_has_a_case_that_it_refuses():
    """As many cases for a variable as it has validations, at least."""
    text = (MODULE / "variables.tf").read_text()
    refused = re.findall(r"expect_failures = \[var\.(\w+)\]", (MODULE / "tests/inputs.tftest.hcl").read_text())
    for name, body in re.findall(r'^variable "(\w+)" \{(.*?)^\}', text, re.M | re.S):
        assert refused.count(name) >= body.count("validation {"), name


def test_a_refusal_says_what_is_accepted(terraform):
    result = terraform.plan("one-spot-server", check=False, admin_ranges=["0.0.0.0/0"], servers=1.5, box={"disk": "20"})
    for words in ("each range is a /8 or smaller", "whole number from 1 to 20", "sizes like 500MB, 20GB"):
        assert words in result.message


# ---- over time ---------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def three(terraform):
    """Three servers that were made; their outputs."""
    return terraform.apply("three-servers", "three")


def changes(plan):
    return {change["address"]: change["change"]["actions"] for change in plan["resource_changes"]
            if change["change"]["actions"] != ["no-op"]}


def test_a_second_plan_changes_nothing(terraform, three):
    assert changes(terraform.plan("three-servers", state="three")) == {}


@pytest.mark.parametrize("what, variables", [
    ("destroy", {}), ("another zone", {"zones": ["us-central1-f", "us-central1-b", "us-central1-c"]}),
    ("another name", {"name": "team"}), ("fewer servers", {"servers": 2, "users": {}}),
    ("another kind of disk", {"data_disk_type": "pd-ssd"}),
])
def test_no_plan_takes_a_data_disk_away(terraform, three, what, variables):
    options = ["-destroy"] if what == "destroy" else []
    result = terraform.plan("three-servers", *options, state="three", check=False, **variables)
    assert "Instance cannot be destroyed" in result.message
    assert re.search(r"google_compute_disk\.data\[\"containarium-\d\"\]", result.message)


def test_a_server_has_no_rights_in_the_cloud(terraform, three):
    """No account, hence no tokens; the one that starts spot servers may do that and no more."""
    plan = terraform.plan("three-servers", state="three")
    instances = planned(plan, "google_compute_instance")
    assert [i["service_account"] for i in instances.values()] == [[]] * 3
    assert list(planned(plan, "google_service_account")) == [0]
    role = planned(plan, "google_project_iam_custom_role")[0]
    assert role["permissions"] == ["compute.instances.start"]
    granted = {name: (r["member"].split("@")[0], r["role"])
               for name, r in planned(plan, "google_compute_instance_iam_member").items()}
    assert granted == {name: ("serviceAccount:containarium-starter", role["id"]) for name in instances}


def test_a_larger_disk_machine_and_box_leave_the_servers_in_place(terraform, three):
    found = changes(terraform.plan("three-servers", state="three", data_disk_gb=300, machine_type="n2-standard-16",
                                   box={"memory": "4GB"}))
    assert set(map(tuple, found.values())) == {("update",)}
    assert {a.split(".")[0] for a in found} == {"google_compute_disk", "google_compute_instance"}


def test_a_fourth_server_leaves_the_others_alone(terraform, three):
    found = changes(terraform.plan("three-servers", state="three", servers=4))
    assert set(map(tuple, found.values())) == {("create",)}
    assert all("containarium-4" in address for address in found), found


# ---- who is where ------------------------------------------------------------------------------------------------

def test_a_users_name_leads_to_their_server(terraform, three):
    plan = terraform.plan("three-servers", state="three")
    records = {r["name"]: r["rrdatas"] for r in planned(plan, "google_dns_record_set").values()}
    for user, server in {"alice": 1, "bob": 2, "carol": 3}.items():
        address = three["servers"][f"containarium-{server}"]["address"]
        assert records[f"{user}.ssh.example.com."] == [address] == records[f"containarium-{server}.ssh.example.com."]
    assert len({tuple(r) for r in records.values()}) == 3
    assert three["users"]["bob"] == {
        "create": "ssh ctl@containarium-2.ssh.example.com create bob --lazy --ssh-key - < bob.pub",
        "login": "ssh bob@bob.ssh.example.com", "login_over_balancer": None}


def test_without_an_administrator_the_commands_go_through_the_server(terraform):
    outputs = terraform.apply("one-spot-server", "one", gateway_admins={}, users={"alice": 1})
    address = outputs["servers"]["containarium-1"]["address"]
    assert outputs["users"]["alice"] == {
        "create": "gcloud compute ssh containarium-1 --project=my-project --zone=us-central1-a --ssh-flag=-p2200 "
                  "-- sudo containarium create alice --lazy --ssh-key - < alice.pub",
        "login": f"ssh alice@{address}", "login_over_balancer": None}


def test_a_user_who_moves_changes_one_record(terraform, three):
    found = changes(terraform.plan("three-servers", state="three", users={"alice": 1, "bob": 3, "carol": 3}))
    assert found == {'google_dns_record_set.this["bob"]': ["update"]}


def test_the_balancers_port_leads_to_the_server(terraform):
    outputs = terraform.apply("five-servers", "five")
    plan = terraform.plan("five-servers", state="five")
    targets = planned(plan, "google_compute_target_instance")
    instances = planned(plan, "google_compute_instance")
    rules = planned(plan, "google_compute_forwarding_rule")
    assert len(rules) == 5
    for name, rule in rules.items():
        assert rule["target"] == targets[name]["self_link"]
        assert targets[name]["instance"] == instances[name]["self_link"]
        assert rule["port_range"] == str(outputs["load_balancer"]["ports"][name])
        assert rule["ip_address"] == outputs["load_balancer"]["address"]
        # The gateway on that server listens on that port.
        assert f"GATEWAY_PORTS='22 {rule['port_range']}'" in instances[name]["metadata"]["startup-script"]
    assert outputs["users"]["erin"]["login_over_balancer"] == "ssh -p 2205 erin@ssh.example.com"
    records = {r["name"]: r["rrdatas"] for r in planned(plan, "google_dns_record_set").values()}
    assert records["ssh.example.com."] == [outputs["load_balancer"]["address"]]


def test_commands_in_the_outputs_name_port_and_place(terraform, three):
    server = three["servers"]["containarium-2"]
    assert server["admin"] == ("gcloud compute ssh containarium-2 --project=my-project --zone=us-central1-b "
                               "--ssh-flag=-p2200")
    assert server["manage"] == "ssh ctl@containarium-2.ssh.example.com help"
