# What the variables accept and refuse. `terraform init && terraform test` needs no Google account: the provider is mocked.

mock_provider "google" {}

variables {
  project_id   = "my-project"
  admin_ranges = ["203.0.113.7/32"]
  install      = { deb_url = "https://example.com/containarium.deb", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
}

# ---- accepted ----

run "all_defaults" {
  command = plan
}

run "one_letter_account" {
  command = plan
  variables {
    gateway_admins = { a = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLE olivia@example.com" }
  }
}

run "no_snapshots" {
  command = plan
  variables {
    snapshots = null
  }
}

run "pinned_cores" {
  command = plan
  variables {
    box = { cpu = "0-3", memory = "8GiB", disk = "500MB" }
  }
}

run "from_git" {
  command = plan
  variables {
    install = { git_url = "https://example.com/containarium.git", git_commit = "0123456789012345678901234567890123456789" }
  }
}

run "from_an_archive" {
  command = plan
  variables {
    install = { archive_url = "https://example.com/containarium.tar.gz", sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }
  }
}

run "btrfs" {
  command = plan
  variables {
    storage_driver = "btrfs"
  }
}

run "twenty_servers" {
  command = plan
  variables {
    servers = 20
  }
}

# ---- refused ----

run "refuses_project_by_number" {
  command = plan
  variables {
    project_id = "123456789012"
  }
  expect_failures = [var.project_id]
}

run "refuses_project_too_short" {
  command = plan
  variables {
    project_id = "abc"
  }
  expect_failures = [var.project_id]
}

run "refuses_zone_as_region" {
  command = plan
  variables {
    region = "us-central1-a"
    zones  = ["us-central1-a-a"]
  }
  expect_failures = [var.region]
}

run "refuses_zone_elsewhere" {
  command = plan
  variables {
    zones = ["europe-west4-a"]
  }
  expect_failures = [var.zones]
}

run "refuses_no_zone" {
  command = plan
  variables {
    zones = []
  }
  expect_failures = [var.zones]
}

run "refuses_zone_twice" {
  command = plan
  variables {
    zones = ["us-central1-a", "us-central1-a"]
  }
  expect_failures = [var.zones]
}

run "refuses_name_with_capitals" {
  command = plan
  variables {
    name = "Team"
  }
  expect_failures = [var.name]
}

run "refuses_name_ends_in_dash" {
  command = plan
  variables {
    name = "team-"
  }
  expect_failures = [var.name]
}

run "refuses_label_with_capitals" {
  command = plan
  variables {
    labels = { Team = "a" }
  }
  expect_failures = [var.labels]
}

run "refuses_subnet_not_a_range" {
  command = plan
  variables {
    subnet_range = "10.10.0.0"
  }
  expect_failures = [var.subnet_range]
}

run "refuses_subnet_too_small" {
  command = plan
  variables {
    subnet_range = "10.10.0.0/30"
  }
  expect_failures = [var.subnet_range]
}

run "refuses_subnet_of_the_boxes" {
  command = plan
  variables {
    subnet_range = "10.178.4.0/24"
  }
  expect_failures = [var.subnet_range]
}

run "refuses_subnet_around_the_boxes" {
  command = plan
  variables {
    subnet_range = "10.178.0.0/16"
  }
  expect_failures = [var.subnet_range]
}

run "refuses_no_server" {
  command = plan
  variables {
    servers = 0
  }
  expect_failures = [var.servers]
}

run "refuses_half_a_server" {
  command = plan
  variables {
    servers = 1.5
  }
  expect_failures = [var.servers]
}

run "refuses_too_many_servers" {
  command = plan
  variables {
    servers = 21
  }
  expect_failures = [var.servers]
}

run "refuses_machine_type_with_blank" {
  command = plan
  variables {
    machine_type = "n2 standard 8"
  }
  expect_failures = [var.machine_type]
}

run "refuses_arm_machine" {
  command = plan
  variables {
    machine_type = "t2a-standard-8"
  }
  expect_failures = [var.machine_type]
}

run "refuses_restart_every_seven_minutes" {
  command = plan
  variables {
    spot_restart_schedule = 7
  }
  expect_failures = [var.spot_restart_schedule]
}

run "refuses_not_debian" {
  command = plan
  variables {
    boot_image = "ubuntu-os-cloud/ubuntu-2404-lts"
  }
  expect_failures = [var.boot_image]
}

run "refuses_old_debian" {
  command = plan
  variables {
    boot_image = "debian-cloud/debian-11"
  }
  expect_failures = [var.boot_image]
}

run "refuses_small_boot_disk" {
  command = plan
  variables {
    boot_disk_gb = 10
  }
  expect_failures = [var.boot_disk_gb]
}

run "refuses_small_data_disk" {
  command = plan
  variables {
    data_disk_gb = 10
  }
  expect_failures = [var.data_disk_gb]
}

run "refuses_data_disk_type_unknown" {
  command = plan
  variables {
    data_disk_type = "ssd"
  }
  expect_failures = [var.data_disk_type]
}

run "refuses_storage_driver_unknown" {
  command = plan
  variables {
    storage_driver = "lvm"
  }
  expect_failures = [var.storage_driver]
}

run "refuses_snapshot_at_half_past" {
  command = plan
  variables {
    snapshots = { start_time = "03:30" }
  }
  expect_failures = [var.snapshots]
}

run "refuses_snapshots_kept_for_no_time" {
  command = plan
  variables {
    snapshots = { keep_days = 0 }
  }
  expect_failures = [var.snapshots]
}

run "refuses_snapshots_too_rare" {
  command = plan
  variables {
    snapshots = { every_days = 31 }
  }
  expect_failures = [var.snapshots]
}

run "refuses_users_from_nowhere" {
  command = plan
  variables {
    user_ranges = []
  }
  expect_failures = [var.user_ranges]
}

run "refuses_users_from_a_name" {
  command = plan
  variables {
    user_ranges = ["office.example.com"]
  }
  expect_failures = [var.user_ranges]
}

run "refuses_admins_from_everywhere" {
  command = plan
  variables {
    admin_ranges = ["0.0.0.0/0"]
  }
  expect_failures = [var.admin_ranges]
}

run "refuses_admins_from_an_address" {
  command = plan
  variables {
    admin_ranges = ["203.0.113.7"]
  }
  expect_failures = [var.admin_ranges]
}

run "refuses_admins_from_nowhere" {
  command = plan
  variables {
    admin_ranges = []
  }
  expect_failures = [var.admin_ranges]
}

run "refuses_admins_from_half_the_world" {
  command = plan
  variables {
    admin_ranges = ["203.0.113.7/32", "0.0.0.0/1"]
  }
  expect_failures = [var.admin_ranges]
}

run "refuses_admin_port_is_the_gateways" {
  command = plan
  variables {
    admin_ssh_port = 22
  }
  expect_failures = [var.admin_ssh_port]
}

run "refuses_admin_port_too_high" {
  command = plan
  variables {
    admin_ssh_port = 65536
  }
  expect_failures = [var.admin_ssh_port]
}

run "refuses_admin_port_is_the_balancers" {
  command = plan
  variables {
    admin_ssh_port = 2203
    servers        = 3
  }
  expect_failures = [var.admin_ssh_port]
}

run "refuses_admin_login_unknown" {
  command = plan
  variables {
    admin_login = "password"
  }
  expect_failures = [var.admin_login]
}

run "refuses_keys_without_keys" {
  command = plan
  variables {
    admin_login = "keys"
  }
  expect_failures = [var.admin_ssh_keys]
}

run "refuses_os_login_with_keys" {
  command = plan
  variables {
    admin_ssh_keys = { olivia = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLE olivia@example.com" }
  }
  expect_failures = [var.admin_ssh_keys]
}

run "refuses_admin_is_root" {
  command = plan
  variables {
    admin_login    = "keys"
    admin_ssh_keys = { root = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLE olivia@example.com" }
  }
  expect_failures = [var.admin_ssh_keys]
}

run "refuses_admin_key_is_private" {
  command = plan
  variables {
    admin_login    = "keys"
    admin_ssh_keys = { olivia = "-----BEGIN OPENSSH PRIVATE KEY-----" }
  }
  expect_failures = [var.admin_ssh_keys]
}

run "refuses_gateway_admin_reserved" {
  command = plan
  variables {
    gateway_admins = { ctl = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLE olivia@example.com" }
  }
  expect_failures = [var.gateway_admins]
}

run "refuses_gateway_admin_two_lines" {
  command = plan
  variables {
    gateway_admins = { olivia = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLE olivia@example.com\nmallory ssh-ed25519 AAAA" }
  }
  expect_failures = [var.gateway_admins]
}

run "refuses_gateway_admin_quote" {
  command = plan
  variables {
    gateway_admins = { olivia = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLE olivia@example.com'; reboot" }
  }
  expect_failures = [var.gateway_admins]
}

run "refuses_gateway_admin_key_is_a_file" {
  command = plan
  variables {
    gateway_admins = { olivia = "~/.ssh/id_ed25519.pub" }
  }
  expect_failures = [var.gateway_admins]
}

run "refuses_user_reserved" {
  command = plan
  variables {
    users = { warm-up = 1 }
  }
  expect_failures = [var.users]
}

run "refuses_user_on_no_server" {
  command = plan
  variables {
    users = { alice = 2 }
  }
  expect_failures = [var.users]
}

run "refuses_user_called_like_a_server" {
  command = plan
  variables {
    users = { containarium-1 = 1 }
  }
  expect_failures = [var.users]
}

run "refuses_user_with_capital" {
  command = plan
  variables {
    users = { Alice = 1 }
  }
  expect_failures = [var.users]
}

run "refuses_dns_zone_is_a_domain" {
  command = plan
  variables {
    dns = { zone = "example.com", domain = "ssh.example.com" }
  }
  expect_failures = [var.dns]
}

run "refuses_domain_ends_in_dot" {
  command = plan
  variables {
    dns = { zone = "example-com", domain = "ssh.example.com." }
  }
  expect_failures = [var.dns]
}

run "refuses_balancer_port_too_low" {
  command = plan
  variables {
    load_balancer_first_port = 22
  }
  expect_failures = [var.load_balancer_first_port]
}

run "refuses_install_nothing" {
  command = plan
  variables {
    install = {}
  }
  expect_failures = [var.install]
}

run "refuses_install_two" {
  command = plan
  variables {
    install = { deb_url = "https://example.com/a.deb", git_url = "https://example.com/a.git", sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", git_commit = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" }
  }
  expect_failures = [var.install]
}

run "refuses_install_in_the_clear" {
  command = plan
  variables {
    install = { deb_url = "http://example.com/a.deb", sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }
  }
  expect_failures = [var.install]
}

run "refuses_install_without_checksum" {
  command = plan
  variables {
    install = { deb_url = "https://example.com/a.deb" }
  }
  expect_failures = [var.install]
}

run "refuses_install_short_checksum" {
  command = plan
  variables {
    install = { deb_url = "https://example.com/a.deb", sha256 = "abc" }
  }
  expect_failures = [var.install]
}

run "refuses_install_quote_in_url" {
  command = plan
  variables {
    install = { deb_url = "https://example.com/'a.deb", sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }
  }
  expect_failures = [var.install]
}

run "refuses_install_a_branch" {
  command = plan
  variables {
    install = { git_url = "https://example.com/a.git", git_commit = "main" }
  }
  expect_failures = [var.install]
}

run "refuses_install_apt_without_key" {
  command = plan
  variables {
    install = { apt_source = "https://example.com/debian bookworm main" }
  }
  expect_failures = [var.install]
}

run "refuses_install_apt_without_suite" {
  command = plan
  variables {
    install = { apt_source = "https://example.com/debian", apt_key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n" }
  }
  expect_failures = [var.install]
}

run "refuses_box_disk_without_unit" {
  command = plan
  variables {
    box = { disk = "20" }
  }
  expect_failures = [var.box]
}

run "refuses_box_memory_unknown_unit" {
  command = plan
  variables {
    box = { memory = "2G" }
  }
  expect_failures = [var.box]
}

run "refuses_box_no_core" {
  command = plan
  variables {
    box = { cpu = "0" }
  }
  expect_failures = [var.box]
}

run "refuses_box_image_from_elsewhere" {
  command = plan
  variables {
    box = { image_source = "docker.io/debian" }
  }
  expect_failures = [var.box]
}
