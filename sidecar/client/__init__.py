"""A client of one sidecar, or of several behind one address."""

from sidecar.client.client import Client

__all__ = ["Client"]
