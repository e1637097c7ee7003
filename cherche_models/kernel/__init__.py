"""MaxSim with stored codes in compiled code, where it was compiled: an optional part of the package."""
