# USER.DOMAIN leads to the server that has USER's box. SSH says nothing of the user before the connection is encrypted,
# so no balancer can choose by it; the name the user connects to can.

locals {
  names = var.dns == null ? {} : merge(
    { for name, host in local.hosts : name => google_compute_address.host[name].address },
    { for user, server in var.users : user => google_compute_address.host["${var.name}-${server}"].address },
    # The domain itself: the balancer, or the only server.
    var.load_balancer ? { "" = google_compute_address.balancer[0].address } :
    var.servers == 1 ? { "" = google_compute_address.host["${var.name}-1"].address } : {},
  )
}

resource "google_dns_record_set" "this" {
  for_each = local.names

  project      = var.project_id
  managed_zone = var.dns.zone
  name         = "${each.key == "" ? "" : "${each.key}."}${var.dns.domain}."
  type         = "A"
  ttl          = 300
  rrdatas      = [each.value]
}
