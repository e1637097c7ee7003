"""JSON over HTTP in the dialects that a cluster speaks without any plugin."""
