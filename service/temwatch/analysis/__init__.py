"""The science: pure functions from images and masks to particles; no file, no clock, no log, no database."""
