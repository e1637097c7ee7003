"""Protobuf to values and back; nothing else in the project reads protobuf."""
