"""Retrievers and rerankers for the frameworks that applications are built with; see ``README.md`` in this folder."""
