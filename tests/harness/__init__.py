"""What the end-to-end tests and the benches stand on: Incus, the two daemons, OpenSSH clients, terminals."""
