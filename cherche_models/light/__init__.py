"""Models that this library saved, read and run without torch or transformers: numpy, tokenizers and the kernel.

What it cannot read is left to `cherche_models.hub`, with the reason; what it reads has the same weights, digest and
tokens there, and the same bits in whatever the kernel runs.
"""
