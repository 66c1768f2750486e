# Crash-consistent copies of the data disks, from which a disk can be made anew. Both file systems survive being cut at
# any moment; so does the database on them.

resource "google_compute_resource_policy" "snapshots" {
  count = var.snapshots == null ? 0 : 1

  project = var.project_id
  region  = var.region
  name    = "${var.name}-snapshots"

  snapshot_schedule_policy {
    schedule {
      daily_schedule {
        days_in_cycle = var.snapshots.every_days
        start_time    = var.snapshots.start_time
      }
    }

    retention_policy {
      max_retention_days = var.snapshots.keep_days
      # A disk that is deleted by mistake is when they are needed.
      on_source_disk_delete = "KEEP_AUTO_SNAPSHOTS"
    }

    snapshot_properties {
      labels = var.labels
    }
  }
}

resource "google_compute_disk_resource_policy_attachment" "snapshots" {
  for_each = var.snapshots == null ? {} : local.hosts

  project = var.project_id
  zone    = each.value.zone
  name    = google_compute_resource_policy.snapshots[0].name
  disk    = google_compute_disk.data[each.key].name
}
