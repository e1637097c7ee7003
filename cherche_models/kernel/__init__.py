"""MaxSim with stored codes and a query's forward pass in compiled code: an optional part of the package."""
