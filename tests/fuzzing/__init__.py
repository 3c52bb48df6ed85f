"""Architectures and stores from strangers: damaged at random, read under watch."""
