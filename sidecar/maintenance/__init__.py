"""Work on a whole index: setup, backfill, upgrade."""
