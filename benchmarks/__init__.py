"""Measurements: what is claimed in the docs, measured again by one command each."""
