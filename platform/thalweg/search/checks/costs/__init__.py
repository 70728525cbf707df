"""What a study will cost: probes of its configurations, or what such a probe would take."""
