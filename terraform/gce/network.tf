# A network of its own: a project's default one lets ssh in from everywhere.

resource "google_compute_network" "this" {
  project                 = var.project_id
  name                    = var.name
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "this" {
  project       = var.project_id
  region        = var.region
  name          = var.name
  network       = google_compute_network.this.self_link
  ip_cidr_range = var.subnet_range
}

# The gateway. A load balancer's packets arrive with their sender's address and the balancer's port, and are ruled by
# the same ranges.
resource "google_compute_firewall" "users" {
  project       = var.project_id
  name          = "${var.name}-users"
  network       = google_compute_network.this.self_link
  direction     = "INGRESS"
  source_ranges = var.user_ranges
  target_tags   = [local.tag]

  allow {
    protocol = "tcp"
    ports    = concat(["22"], var.load_balancer ? [for h in local.hosts : tostring(h.port)] : [])
  }
}

# The servers' own sshd.
resource "google_compute_firewall" "admins" {
  project       = var.project_id
  name          = "${var.name}-admins"
  network       = google_compute_network.this.self_link
  direction     = "INGRESS"
  source_ranges = var.admin_ranges
  target_tags   = [local.tag]

  allow {
    protocol = "tcp"
    ports    = [tostring(var.admin_ssh_port)]
  }
}
