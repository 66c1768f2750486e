# Five servers for 200 to 250 users, not spot: they stay up, and move between machines without a restart. DNS for each
# user, and one address in front of all for networks that only let one through: there, the port says which server.

project_id = "my-project"
region     = "europe-west4"
zones      = ["europe-west4-a", "europe-west4-b", "europe-west4-c"]

servers      = 5
machine_type = "n2-standard-8"
spot         = false
data_disk_gb = 250
snapshots    = { keep_days = 30 }

admin_ranges   = ["203.0.113.0/28", "198.51.100.7/32"]
admin_ssh_port = 2200
admin_login    = "keys"
admin_ssh_keys = {
  olivia = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLE olivia@example.com"
}
gateway_admins = {
  olivia = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLE olivia@example.com"
}

dns = {
  zone   = "example-com"
  domain = "ssh.example.com"
}
load_balancer = true

users = {
  alice = 1
  bob   = 2
  carol = 3
  dave  = 4
  erin  = 5
}

install = {
  apt_source = "https://apt.example.com/debian bookworm main"
  apt_key    = <<-KEY
    -----BEGIN PGP PUBLIC KEY BLOCK-----
    (the repository's key)
    -----END PGP PUBLIC KEY BLOCK-----
  KEY
}
