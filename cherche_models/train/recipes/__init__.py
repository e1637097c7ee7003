"""Recipes of the models in the package, each with a command line."""
