"""Stored forms of term weights and token embeddings, one codec per file."""
