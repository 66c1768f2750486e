# Ready commands; nothing here is secret.

locals {
  address = { for name, host in local.hosts : name => google_compute_address.host[name].address }
  # What to type after the @ and with which options, for whom is on a server.
  reach = { for name, host in local.hosts : name => (
    var.dns != null ? "${name}.${var.dns.domain}" : local.address[name]
  ) }
  admin_command = { for name, host in local.hosts : name => (
    var.admin_login == "os-login"
    ? "gcloud compute ssh ${name} --project=${var.project_id} --zone=${host.zone} --ssh-flag=-p${var.admin_ssh_port}"
    : "ssh -p ${var.admin_ssh_port} ${keys(var.admin_ssh_keys)[0]}@${local.address[name]}"
  ) }
  # What a verb is put after: the console, or the command line where nobody may use that yet.
  console = { for name, host in local.hosts : name => (
    length(var.gateway_admins) > 0 ? "ssh ctl@${local.reach[name]}" : "${local.admin_command[name]} -- sudo containarium"
  ) }
}

output "servers" {
  description = "Each server: its address, where it is, how to become root on it, and how it says whether it is ready."
  value = { for name, host in local.hosts : name => {
    address = local.address[name]
    zone    = host.zone
    admin   = local.admin_command[name]
    health  = "gcloud compute instances get-guest-attributes ${name} --project=${var.project_id} --zone=${host.zone} --query-path=containarium/state --format='value(value)'"
    log     = "gcloud compute instances get-serial-port-output ${name} --project=${var.project_id} --zone=${host.zone} | grep containarium-startup"
    manage  = "${local.console[name]} help"
  } }
}

output "users" {
  description = "Each user: the command that makes the account on the right server, and the one the user types."
  value = { for user, server in var.users : user => {
    create = "${local.console["${var.name}-${server}"]} create ${user} --lazy --ssh-key - < ${user}.pub"
    login  = var.dns != null ? "ssh ${user}@${user}.${var.dns.domain}" : "ssh ${user}@${local.address["${var.name}-${server}"]}"
    login_over_balancer = !var.load_balancer ? null : format("ssh -p %d %s@%s", var.load_balancer_first_port + server - 1, user,
    var.dns != null ? var.dns.domain : google_compute_address.balancer[0].address)
  } }
}

output "load_balancer" {
  description = "The common address and each server's port on it; null without one."
  value = !var.load_balancer ? null : {
    address = google_compute_address.balancer[0].address
    ports   = { for name, host in local.hosts : name => host.port }
  }
}

output "startup_scripts" {
  description = "The start-up script of each server, as it was rendered."
  value       = local.startup_script
}
