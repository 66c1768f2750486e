# One address for all: the port says which server. Packets are passed on as they come, so gateway, audit and limits see
# the user's own address, and a server that moves zones keeps its port. There is nothing to choose between and hence no
# health check: a user's box is on one server.

resource "google_compute_address" "balancer" {
  count = var.load_balancer ? 1 : 0

  project = var.project_id
  region  = var.region
  name    = "${var.name}-balancer"
  labels  = var.labels
}

resource "google_compute_target_instance" "host" {
  for_each = var.load_balancer ? local.hosts : {}

  project  = var.project_id
  zone     = each.value.zone
  name     = each.key
  instance = google_compute_instance.host[each.key].self_link
}

resource "google_compute_forwarding_rule" "host" {
  for_each = var.load_balancer ? local.hosts : {}

  project               = var.project_id
  region                = var.region
  name                  = each.key
  load_balancing_scheme = "EXTERNAL"
  ip_protocol           = "TCP"
  ip_address            = google_compute_address.balancer[0].address
  port_range            = tostring(each.value.port)
  target                = google_compute_target_instance.host[each.key].self_link
  labels                = var.labels
}
