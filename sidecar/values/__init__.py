"""Values that all other packages exchange: frozen dataclasses, no I/O."""
