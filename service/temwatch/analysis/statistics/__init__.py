"""Figures of a sample or a sequence: populations, their uncertainty, fits, growth and comparison."""
