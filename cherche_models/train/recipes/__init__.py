"""Recipes of the models that ship, each a command."""
