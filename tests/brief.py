"""Nodes that live for minutes: compiled quickly instead of well, which halves what their start costs."""

from __future__ import annotations

from dataclasses import replace

from sidecar.cluster.parts import Server


def brief(server: Server) -> Server:
    """The server without Java's optimizing compiler; not for the plugin, whose vector code needs it."""
    return replace(server, flags=(*server.flags, "-XX:TieredStopAtLevel=1"))
