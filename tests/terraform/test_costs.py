"""The cost table of terraform/README.md: its arithmetic, and that it is about the examples as they are."""
import re

import pytest
from conftest import MODULE, planned

TABLE = (MODULE.parent / "README.md").read_text().split("## What it costs", 1)[1].split("\n\n##", 1)[0]
LINES = [line for line in TABLE.splitlines() if line.startswith("| ")][1:]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in LINES]
COLUMNS = {2: "one-spot-server", 3: "three-servers", 4: "five-servers"}


def product(text):
    result = 1.0
    for factor in re.split(r" × ", text):
        result *= float(factor)
    return result


def items(column):
    """{item: (factors, amount)} of a column."""
    found = {}
    for row in ROWS:
        if " = " in row[column] and "×" in row[column]:
            left, right = row[column].split(" = ")
            found[row[0]] = ([float(factor) for factor in left.split(" × ")], float(right))
    return found


@pytest.mark.parametrize("text", re.findall(r"(\d+ ×[\d. ×]+ = [\d.]+\d)", " ".join(TABLE.split())))
def test_each_product_is_right(text):
    left, right = text.split(" = ")
    assert round(product(left) + 1e-9, 2) == float(right)


@pytest.mark.parametrize("column", COLUMNS)
def test_sums_and_shares_are_right(column):
    total = next(float(row[column].strip("*")) for row in ROWS if row[0] == "**sum**")
    assert round(sum(amount for _, amount in items(column).values()), 2) == total
    share = next(row[column] for row in ROWS if row[0].startswith("**for each user"))
    left, right = share.split(" = ")
    amount, users = left.split(" / ")
    assert float(amount) == total and round(total / float(users), 2) == float(right)


def test_unit_prices_are_those_used():
    for row in ROWS:
        price = re.match(r"[\d.]+", row[1])
        for column in COLUMNS:
            if price and " = " in row[column] and "×" in row[column]:
                assert items(column)[row[0]][0][-1] == float(price[0]), row
    full, spot = (float(re.match(r"[\d.]+", row[1])[0]) for row in ROWS[:2])
    assert round(full * 0.4, 6) == spot


@pytest.mark.parametrize("column", COLUMNS)
def test_amounts_are_those_of_the_example(column, terraform):
    plan = terraform.example(COLUMNS[column])
    bought = items(column)
    instances = list(planned(plan, "google_compute_instance").values())
    disks = list(planned(plan, "google_compute_disk").values())
    spot = instances[0]["scheduling"][0]["provisioning_model"] == "SPOT"
    assert instances[0]["machine_type"] == "n2-standard-8"
    assert [name for name in bought if "cores" in name or "spot, 60" in name] == \
        ["the same as spot, 60 % less (Google says 60 to 91)" if spot else "n2-standard-8, 8 cores and 32 GB"]
    for name in bought:
        if name.startswith(("n2", "the same", "boot disk", "data disk", "snapshots", "address")):
            assert bought[name][0][0] == len(instances), name
    assert bought["boot disk, pd-balanced"][0][1] == instances[0]["boot_disk"][0]["initialize_params"][0]["size"]
    assert bought["data disk, pd-balanced"][0][1] == disks[0]["size"] and disks[0]["type"] == "pd-balanced"
    assert bought["snapshots, if half the disk is in them"][0][1] == disks[0]["size"] / 2
    assert ("address in use, spot" in bought) == spot and ("address in use" in bought) != spot
    jobs = planned(plan, "google_cloud_scheduler_job")
    assert bought.get("job that starts a spot server (three are free)", ([0],))[0][0] == len(jobs)
    assert ("DNS zone" in bought) == bool(planned(plan, "google_dns_record_set"))
    rules = planned(plan, "google_compute_forwarding_rule")
    assert ("load balancer, up to five forwarding rules" in bought) == bool(rules) and len(rules) <= 5
