# One spot server for 20 to 50 users: the cheapest. Google takes it away now and then; minutes later it is back with
# everything on it. See terraform/README.md for what it costs.

project_id = "my-project"
region     = "us-central1"
zones      = ["us-central1-a"]

servers      = 1
machine_type = "n2-standard-8" # 8 cores, 32 GB
spot         = true
data_disk_gb = 250

# Your own address; nobody else reaches the server's own sshd.
admin_ranges = ["203.0.113.7/32"]

# Administrators of the gateway: name and public key.
gateway_admins = {
  olivia = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLE olivia@example.com"
}

install = {
  deb_url = "https://example.com/containarium_0.1.0_amd64.deb"
  sha256  = "0000000000000000000000000000000000000000000000000000000000000000"
}
