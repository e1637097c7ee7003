"""Metrics, logs and a dashboard for operators."""
