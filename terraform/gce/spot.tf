# Google takes a spot server away and never starts it again: "automatic_restart" is not allowed for them. A job per
# server asks for it every few minutes; for one that runs, that changes nothing. What the job may do is start these
# servers, and nothing else.

locals {
  spot_hosts = var.spot ? local.hosts : {}
}

resource "google_service_account" "starter" {
  count = var.spot ? 1 : 0

  project      = var.project_id
  account_id   = "${var.name}-starter"
  display_name = "starts containarium's spot servers"
}

resource "google_project_iam_custom_role" "starter" {
  count = var.spot ? 1 : 0

  project     = var.project_id
  role_id     = "${replace(var.name, "-", "_")}_starter"
  title       = "Start servers of ${var.name}"
  permissions = ["compute.instances.start"]
}

resource "google_compute_instance_iam_member" "starter" {
  for_each = local.spot_hosts

  project       = var.project_id
  zone          = each.value.zone
  instance_name = google_compute_instance.host[each.key].name
  role          = google_project_iam_custom_role.starter[0].id
  member        = google_service_account.starter[0].member
}

resource "google_cloud_scheduler_job" "start" {
  for_each = local.spot_hosts

  project          = var.project_id
  region           = var.region
  name             = "start-${each.key}"
  description      = "Starts ${each.key} if it was taken away."
  schedule         = "*/${var.spot_restart_schedule} * * * *"
  time_zone        = "Etc/UTC"
  attempt_deadline = "60s"

  http_target {
    http_method = "POST"
    uri         = "https://compute.googleapis.com/compute/v1/projects/${var.project_id}/zones/${each.value.zone}/instances/${each.key}/start"

    oauth_token {
      service_account_email = google_service_account.starter[0].email
      scope                 = "https://www.googleapis.com/auth/compute"
    }
  }

  depends_on = [google_compute_instance_iam_member.starter]
}
