# What may be set, and what is refused. Each message says what is accepted.

# ---- where -------------------------------------------------------------------------------------------------------

variable "project_id" {
  description = "Google Cloud project that everything is made in."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is the project's id, not its name or number: 6 to 30 small letters, digits and dashes, starting with a letter."
  }
}

variable "region" {
  description = "Region of the addresses and of the snapshots' schedule."
  type        = string
  default     = "us-central1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]{1,2}$", var.region))
    error_message = "region is a region's name, like us-central1 or europe-west4 (a zone has a further -a, -b, ...)."
  }
}

variable "zones" {
  description = "Zones of the region; servers are spread over them in turn. A disk cannot leave its zone, so only append to this list."
  type        = list(string)
  default     = ["us-central1-a"]
  nullable    = false

  validation {
    condition     = length(var.zones) > 0 && alltrue([for z in var.zones : can(regex("^${var.region}-[a-z]$", z))])
    error_message = "zones is a list of at least one zone, and each must lie in the region, like [\"us-central1-a\", \"us-central1-b\"] in us-central1."
  }

  validation {
    condition     = length(distinct(var.zones)) == length(var.zones)
    error_message = "zones names a zone twice."
  }
}

variable "name" {
  description = "Beginning of every name; servers are NAME-1, NAME-2, ..."
  type        = string
  default     = "containarium"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "name is 3 to 20 small letters, digits and dashes, starting with a letter and not ending in a dash."
  }
}

variable "labels" {
  description = "Labels on everything that can have them."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition = alltrue([for k, v in var.labels :
      can(regex("^[a-z][a-z0-9_-]{0,62}$", k)) && can(regex("^[a-z0-9_-]{0,63}$", v))
    ])
    error_message = "labels: keys and values are at most 63 small letters, digits, dashes and underscores; a key starts with a letter."
  }
}

variable "subnet_range" {
  description = "The servers' own subnet. Not the boxes', which is 10.178.0.0/20 on every server and never leaves it."
  type        = string
  default     = "10.10.0.0/24"

  validation {
    condition     = can(cidrnetmask(var.subnet_range)) && try(tonumber(split("/", var.subnet_range)[1]) >= 16 && tonumber(split("/", var.subnet_range)[1]) <= 29, false)
    error_message = "subnet_range is an IPv4 range of /16 to /29, like 10.10.0.0/24."
  }

  validation {
    # Equal to the boxes' range when both are cut to the shorter of the two prefixes.
    condition = try(cidrhost("${split("/", var.subnet_range)[0]}/${min(20, tonumber(split("/", var.subnet_range)[1]))}", 0) !=
    cidrhost("10.178.0.0/${min(20, tonumber(split("/", var.subnet_range)[1]))}", 0), true)
    error_message = "subnet_range must not overlap 10.178.0.0/20: that is the boxes' network on every server."
  }
}

# ---- servers -----------------------------------------------------------------------------------------------------

variable "servers" {
  description = "How many servers. Each has its own boxes, accounts and address; see `users` for who is where."
  type        = number
  default     = 1

  validation {
    condition     = var.servers >= 1 && var.servers <= 20 && floor(var.servers) == var.servers
    error_message = "servers is a whole number from 1 to 20."
  }
}

variable "machine_type" {
  description = "Machine type of every server."
  type        = string
  default     = "n2-standard-8"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*-[a-z0-9]+(-[a-z0-9]+)*$", var.machine_type))
    error_message = "machine_type is a Compute Engine machine type, like n2-standard-8 or n2-custom-8-65536."
  }

  validation {
    condition     = !can(regex("^(t2a|c4a|n4a)-", var.machine_type))
    error_message = "machine_type: t2a, c4a and n4a are Arm machines; the boot image and the package are for amd64."
  }
}

variable "spot" {
  description = "Spot servers: a fraction of the price, taken away at 30 seconds' notice now and then. Data stays; a job starts them again."
  type        = bool
  default     = false
}

variable "spot_restart_schedule" {
  description = "When to start spot servers that were taken away, as minutes between attempts (Google does not do it by itself)."
  type        = number
  default     = 5

  validation {
    condition     = contains([1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30], var.spot_restart_schedule)
    error_message = "spot_restart_schedule is a number of minutes that divides an hour: 1, 2, 3, 4, 5, 6, 10, 12, 15, 20 or 30."
  }
}

variable "boot_image" {
  description = "Debian 12 or later."
  type        = string
  default     = "debian-cloud/debian-12"

  validation {
    condition     = can(regex("debian-(1[2-9]|[2-9][0-9])", var.boot_image))
    error_message = "boot_image must be a Debian of version 12 or later, like debian-cloud/debian-12: the start-up script installs with apt."
  }
}

variable "boot_disk_gb" {
  description = "Size of the boot disk, which holds nothing that cannot be made again."
  type        = number
  default     = 20

  validation {
    condition     = var.boot_disk_gb >= 20 && var.boot_disk_gb <= 2000 && floor(var.boot_disk_gb) == var.boot_disk_gb
    error_message = "boot_disk_gb is a whole number from 20 to 2000."
  }
}

# ---- data --------------------------------------------------------------------------------------------------------

variable "data_disk_gb" {
  description = "Size of each server's data disk: boxes, accounts, audit trail, host keys. It can grow later, never shrink."
  type        = number
  default     = 500

  validation {
    condition     = var.data_disk_gb >= 50 && var.data_disk_gb <= 65536 && floor(var.data_disk_gb) == var.data_disk_gb
    error_message = "data_disk_gb is a whole number from 50 to 65536."
  }
}

variable "data_disk_type" {
  description = "Kind of data disk."
  type        = string
  default     = "pd-balanced"

  validation {
    condition     = contains(["pd-standard", "pd-balanced", "pd-ssd"], var.data_disk_type)
    error_message = "data_disk_type is pd-standard, pd-balanced or pd-ssd."
  }
}

variable "storage_driver" {
  description = "What the data disk is formatted with when it is blank: zfs (lz4, built by DKMS at the first boot) or btrfs (in Debian's own kernel)."
  type        = string
  default     = "zfs"

  validation {
    condition     = contains(["zfs", "btrfs"], var.storage_driver)
    error_message = "storage_driver is zfs or btrfs."
  }
}

variable "snapshots" {
  description = "Snapshots of the data disks: every so many days, at an hour in UTC, kept for so many days. null for none."
  type = object({
    every_days = optional(number, 1)
    start_time = optional(string, "03:00")
    keep_days  = optional(number, 14)
  })
  default = {}

  validation {
    condition     = var.snapshots == null ? true : var.snapshots.every_days >= 1 && var.snapshots.every_days <= 30 && floor(var.snapshots.every_days) == var.snapshots.every_days
    error_message = "snapshots.every_days is a whole number from 1 to 30."
  }

  validation {
    condition     = var.snapshots == null ? true : can(regex("^([01][0-9]|2[0-3]):00$", var.snapshots.start_time))
    error_message = "snapshots.start_time is a full hour in UTC, 00:00 to 23:00."
  }

  validation {
    condition     = var.snapshots == null ? true : var.snapshots.keep_days >= 1 && var.snapshots.keep_days <= 365 && floor(var.snapshots.keep_days) == var.snapshots.keep_days
    error_message = "snapshots.keep_days is a whole number from 1 to 365."
  }
}

# ---- who may come in ---------------------------------------------------------------------------------------------

variable "user_ranges" {
  description = "From where users may reach the gateway's port 22."
  type        = list(string)
  default     = ["0.0.0.0/0"]
  nullable    = false

  validation {
    condition     = length(var.user_ranges) > 0 && alltrue([for r in var.user_ranges : can(cidrnetmask(r))])
    error_message = "user_ranges is a list of at least one IPv4 range, like 203.0.113.0/24; 0.0.0.0/0 is everybody."
  }
}

variable "admin_ranges" {
  description = "From where administrators may reach the servers' own sshd."
  type        = list(string)

  validation {
    condition     = length(var.admin_ranges) > 0 && alltrue([for r in var.admin_ranges : can(cidrnetmask(r))])
    error_message = "admin_ranges is a list of at least one IPv4 range, like 203.0.113.7/32."
  }

  validation {
    condition     = alltrue([for r in var.admin_ranges : try(tonumber(split("/", r)[1]) >= 8, false)])
    error_message = "admin_ranges must not be the whole internet: each range is a /8 or smaller. Your own address with /32 is best."
  }
}

variable "admin_ssh_port" {
  description = "Port of the servers' own sshd; 22 belongs to the gateway."
  type        = number
  default     = 2200

  validation {
    condition     = var.admin_ssh_port >= 1024 && var.admin_ssh_port <= 65535 && floor(var.admin_ssh_port) == var.admin_ssh_port
    error_message = "admin_ssh_port is a whole number from 1024 to 65535; not 22, that is the gateway's."
  }

  validation {
    condition     = var.admin_ssh_port < var.load_balancer_first_port || var.admin_ssh_port >= var.load_balancer_first_port + var.servers
    error_message = "admin_ssh_port is one of the load balancer's ports (load_balancer_first_port and the ones after it, one a server)."
  }
}

variable "admin_login" {
  description = "How administrators log in to the servers: os-login (their Google identities and roles) or keys (admin_ssh_keys)."
  type        = string
  default     = "os-login"

  validation {
    condition     = contains(["os-login", "keys"], var.admin_login)
    error_message = "admin_login is os-login or keys."
  }
}

variable "admin_ssh_keys" {
  description = "With admin_login = \"keys\": Unix user name => public key. Each may use sudo."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = (var.admin_login == "keys") == (length(var.admin_ssh_keys) > 0)
    error_message = "admin_ssh_keys has at least one key with admin_login = \"keys\", and none with os-login, which would not look at them."
  }

  validation {
    condition = alltrue([for user, key in var.admin_ssh_keys :
      can(regex("^[a-z_][a-z0-9_-]{0,31}$", user)) && user != "root" &&
      can(regex("^(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|ssh-rsa) [A-Za-z0-9+/]{60,}={0,3}( [^\\n']*)?$", key))
    ])
    error_message = "admin_ssh_keys: a user name (not root) => one line of a public key file, like \"ssh-ed25519 AAAA... me@laptop\"."
  }
}

variable "gateway_admins" {
  description = "First accounts of every gateway, as administrators: account name => public key. They make the others with ssh ctl@SERVER."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition = alltrue([for user, key in var.gateway_admins :
      can(regex("^[a-z]([a-z0-9-]{0,29}[a-z0-9])?$", user)) && !can(regex("^(ctl|admin|root|join|system|gateway|containarium|default|warm-.*)$", user)) &&
      can(regex("^(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|ssh-rsa) [A-Za-z0-9+/]{60,}={0,3}( [^\\n']*)?$", key))
    ])
    error_message = "gateway_admins: an account name (at most 31 small letters, digits and dashes, from a letter; not ctl, admin, root, join, system, gateway, containarium, default, warm-...) => one line of a public key file."
  }
}

variable "users" {
  description = "Who is on which server: account name => the server's number. Makes USER.DOMAIN when there is DNS, and the commands in the outputs. Accounts themselves are made on the gateway."
  type        = map(number)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for user, server in var.users : can(regex("^[a-z]([a-z0-9-]{0,29}[a-z0-9])?$", user)) && !can(regex("^(ctl|admin|root|join|system|gateway|containarium|default|warm-.*)$", user))])
    error_message = "users: account names are at most 31 small letters, digits and dashes, starting with a letter; ctl, admin, root, join, system, gateway, containarium, default and warm-... are taken."
  }

  validation {
    condition     = alltrue([for user, server in var.users : server >= 1 && server <= var.servers && floor(server) == server])
    error_message = "users: each value is the number of a server, from 1 to `servers`."
  }

  validation {
    condition     = alltrue([for user, server in var.users : !can(regex("^${var.name}-[0-9]+$", user))])
    error_message = "users: a user cannot be called like a server (NAME-1, NAME-2, ...), both become names in the same domain."
  }
}

# ---- names and one common address -----------------------------------------------------------------------------------

variable "dns" {
  description = "A Cloud DNS zone that exists in this project and a domain in it: SERVER.DOMAIN and USER.DOMAIN lead to a server. null for none."
  type = object({
    zone   = string
    domain = string
  })
  default = null

  validation {
    condition     = var.dns == null ? true : can(regex("^[a-z][a-z0-9-]{0,62}$", var.dns.zone))
    error_message = "dns.zone is the zone's name in Cloud DNS, like example-com (not the domain)."
  }

  validation {
    condition     = var.dns == null ? true : can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,63}$", var.dns.domain))
    error_message = "dns.domain is a domain in small letters without a dot at the end, like ssh.example.com."
  }
}

variable "load_balancer" {
  description = "One more address in front of all servers, on which each server has a port of its own. For users who can have only one address and no DNS; costs extra."
  type        = bool
  default     = false
}

variable "load_balancer_first_port" {
  description = "Server 1's port on the load balancer; server 2 has the next one, and so on."
  type        = number
  default     = 2201

  validation {
    condition     = var.load_balancer_first_port >= 1024 && var.load_balancer_first_port <= 65000 && floor(var.load_balancer_first_port) == var.load_balancer_first_port
    error_message = "load_balancer_first_port is a whole number from 1024 to 65000."
  }
}

# ---- what is installed -----------------------------------------------------------------------------------------------

variable "install" {
  description = "Where containarium comes from, exactly one of: deb_url with sha256; apt_source with apt_key; archive_url (a .tar.gz of the sources) with sha256; git_url with git_commit."
  type = object({
    deb_url     = optional(string)
    archive_url = optional(string)
    sha256      = optional(string)
    apt_source  = optional(string)
    apt_key     = optional(string)
    git_url     = optional(string)
    git_commit  = optional(string)
  })

  validation {
    condition     = length([for v in [var.install.deb_url, var.install.archive_url, var.install.apt_source, var.install.git_url] : v if v != null]) == 1
    error_message = "install takes exactly one of deb_url, archive_url, apt_source and git_url."
  }

  validation {
    condition     = alltrue([for v in [var.install.deb_url, var.install.archive_url, var.install.git_url] : can(regex("^https://[^\\s'\"]+$", v)) if v != null])
    error_message = "install: URLs begin with https:// and have no blanks or quotes."
  }

  validation {
    condition     = (var.install.deb_url != null || var.install.archive_url != null) == can(regex("^[0-9a-f]{64}$", var.install.sha256))
    error_message = "install: deb_url and archive_url need sha256, the 64 hexadecimal digits that sha256sum prints for the file; the others take none."
  }

  validation {
    condition     = (var.install.git_url != null) == can(regex("^[0-9a-f]{40}$", var.install.git_commit))
    error_message = "install: git_url needs git_commit, a commit's full 40 digits (branches and tags can be moved by others); the others take none."
  }

  validation {
    condition     = (var.install.apt_source != null) == can(regex("^-----BEGIN PGP PUBLIC KEY BLOCK-----\\s", var.install.apt_key))
    error_message = "install: apt_source needs apt_key, the repository's armoured public key; the others take none."
  }

  validation {
    condition     = var.install.apt_source == null ? true : can(regex("^https://[^\\s'\"]+ [a-z0-9./-]+( [a-z0-9-]+)+$", var.install.apt_source))
    error_message = "install.apt_source is \"URL SUITE COMPONENT...\", like \"https://apt.example.com/debian bookworm main\"."
  }
}

# ---- boxes -----------------------------------------------------------------------------------------------------------

variable "box" {
  description = "What a new box gets unless `containarium create` says otherwise, and where the box image comes from (auto, or mirror: only Debian's own archive)."
  type = object({
    disk         = optional(string, "20GB")
    cpu          = optional(string, "2")
    memory       = optional(string, "2GB")
    image_source = optional(string, "auto")
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for v in [var.box.disk, var.box.memory] : can(regex("^[1-9][0-9]*(MB|GB|TB|MiB|GiB|TiB)$", v))])
    error_message = "box.disk and box.memory are sizes like 500MB, 20GB, 4096MiB or 8GiB."
  }

  validation {
    condition     = can(regex("^[0-9]+([-,][0-9]+)*$", var.box.cpu)) && var.box.cpu != "0"
    error_message = "box.cpu is a number of cores like 4, or the cores a box is pinned to like 0-3 or 0,2."
  }

  validation {
    condition     = contains(["auto", "mirror"], var.box.image_source)
    error_message = "box.image_source is auto or mirror."
  }
}
