"""Stored forms of term weights and token embeddings; `cherche_models.codec` is their public door.

From low to high, each module imports only those before it: ``header``, then ``codebook``, ``pool``
and ``terms``, then ``base``, the ``codecs``, their ``table``, ``form`` and ``frame``.
"""
