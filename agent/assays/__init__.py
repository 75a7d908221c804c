"""From readings to training data: structures, units, endpoints, curation, snapshots."""
