"""An open training mixture, built from packages that every machine can fetch."""
