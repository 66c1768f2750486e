# The servers: each its own address, its own data disk, its own accounts. Names are known at plan time, whatever else is
# not, so that every for_each can be planned.

locals {
  hosts = { for i in range(var.servers) : "${var.name}-${i + 1}" => {
    number = i + 1
    zone   = var.zones[i % length(var.zones)]
    # The port on the load balancer that leads here.
    port = var.load_balancer_first_port + i
    # What users type after the @; the start-up script asks the metadata server when there is no name.
    public_host = var.dns == null ? "" : "${var.name}-${i + 1}.${var.dns.domain}"
  } }
  data_device = "containarium-data"
  tag         = var.name
}

resource "google_compute_address" "host" {
  for_each = local.hosts

  project = var.project_id
  region  = var.region
  name    = each.key
  labels  = var.labels
}

# Everything that cannot be made again is here, and on nothing else. Terraform refuses any plan that would delete or
# replace it, also when it is caused by a changed zone or name; see README.md for how to let go of one on purpose.
resource "google_compute_disk" "data" {
  for_each = local.hosts

  project = var.project_id
  zone    = each.value.zone
  name    = "${each.key}-data"
  type    = var.data_disk_type
  size    = var.data_disk_gb
  labels  = var.labels

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_compute_instance" "host" {
  for_each = local.hosts

  project      = var.project_id
  zone         = each.value.zone
  name         = each.key
  machine_type = var.machine_type
  tags         = [local.tag]
  labels       = var.labels
  # A new machine type takes a stop and a start, not a new server.
  allow_stopping_for_update = true

  boot_disk {
    initialize_params {
      image = var.boot_image
      size  = var.boot_disk_gb
      type  = "pd-balanced"
    }
  }

  attached_disk {
    source      = google_compute_disk.data[each.key].self_link
    device_name = local.data_device
  }

  network_interface {
    subnetwork = google_compute_subnetwork.this.self_link

    access_config {
      nat_ip = google_compute_address.host[each.key].address
    }
  }

  scheduling {
    provisioning_model          = var.spot ? "SPOT" : "STANDARD"
    preemptible                 = var.spot
    automatic_restart           = !var.spot
    on_host_maintenance         = var.spot ? "TERMINATE" : "MIGRATE"
    instance_termination_action = var.spot ? "STOP" : null
  }

  # No service_account: nothing on a server calls a Google API, so there are no tokens on it that could be stolen.

  # Not Secure Boot with zfs: the module is built here and signed by nobody.
  shielded_instance_config {
    enable_secure_boot          = var.storage_driver != "zfs"
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }

  # As metadata and not as metadata_startup_script: that one replaces the server whenever the script changes.
  metadata = merge({
    startup-script          = local.startup_script[each.key]
    enable-guest-attributes = "TRUE"
    enable-oslogin          = var.admin_login == "os-login" ? "TRUE" : "FALSE"
    block-project-ssh-keys  = "TRUE"
    serial-port-enable      = "FALSE"
    }, var.admin_login == "keys" ? {
    ssh-keys = join("\n", [for user, key in var.admin_ssh_keys : "${user}:${key}"])
  } : {})
}
