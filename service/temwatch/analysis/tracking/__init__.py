"""Particles tracked through the frames of a sequence: linking, drift, track events and contacts."""
