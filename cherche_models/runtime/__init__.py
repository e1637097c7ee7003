"""How models run: devices and types, batches, the vocabulary head, MaxSim."""
