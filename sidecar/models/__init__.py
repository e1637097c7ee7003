"""Models that a sidecar serves: the library's door, registry, batcher, queue."""
