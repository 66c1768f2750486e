# No provider block: every resource names its project and place itself, so that this folder is both a root module and
# one that others can call.
terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.0, < 8.0"
    }
  }
}
