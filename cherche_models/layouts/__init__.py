"""How checkpoints lie on disk, one layout per file."""
