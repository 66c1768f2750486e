# The start-up script of each server: values first, then the files of startup/ as they are.

locals {
  install_kind = (
    var.install.deb_url != null ? "deb" :
    var.install.apt_source != null ? "apt" :
    var.install.archive_url != null ? "archive" : "git"
  )

  install_from = coalesce(
    var.install.deb_url, var.install.apt_source, var.install.archive_url, var.install.git_url, "-"
  )

  startup_parts = ["report", "disk", "storage", "sshd", "packages", "configure", "health", "main"]

  startup_settings = { for name, host in local.hosts : name => {
    PUBLIC_HOST      = host.public_host
    GATEWAY_PORTS    = join(" ", concat(["22"], var.load_balancer ? [tostring(host.port)] : []))
    ADMIN_SSH_PORT   = tostring(var.admin_ssh_port)
    DATA_DISK        = "/dev/disk/by-id/google-${local.data_device}"
    STORAGE_DRIVER   = var.storage_driver
    INSTALL_KIND     = local.install_kind
    INSTALL_FROM     = local.install_from
    INSTALL_CHECKSUM = try(coalesce(var.install.sha256, var.install.git_commit), "")
    INSTALL_APT_KEY  = var.install.apt_key == null ? "" : var.install.apt_key
    GATEWAY_ADMINS   = join("\n", [for user, key in var.gateway_admins : "${user} ${key}"])
    BOX_DISK         = var.box.disk
    BOX_CPU          = var.box.cpu
    BOX_MEMORY       = var.box.memory
    BOX_IMAGE_SOURCE = var.box.image_source
  } }

  startup_script = { for name, host in local.hosts : name => join("\n", [
    "#!/bin/bash",
    templatefile("${path.module}/startup/startup.sh.tftpl", {
      host     = name
      settings = local.startup_settings[name]
      parts    = [for part in local.startup_parts : file("${path.module}/startup/${part}.sh")]
    })
  ]) }
}
