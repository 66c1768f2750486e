# Three servers for 100 to 150 users, each in a zone of its own. alice.ssh.example.com leads to the server that has
# alice's box, for everybody listed in users.

project_id = "my-project"
region     = "us-central1"
zones      = ["us-central1-a", "us-central1-b", "us-central1-c"]

servers      = 3
machine_type = "n2-standard-8"
spot         = true
data_disk_gb = 250

admin_ranges = ["203.0.113.7/32"]
gateway_admins = {
  olivia = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLE olivia@example.com"
}

dns = {
  zone   = "example-com"
  domain = "ssh.example.com"
}

# User and the number of the server.
users = {
  alice = 1
  bob   = 2
  carol = 3
}

install = {
  deb_url = "https://example.com/containarium_0.1.0_amd64.deb"
  sha256  = "0000000000000000000000000000000000000000000000000000000000000000"
}
