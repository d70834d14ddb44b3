"""Runs on disk, named by what they are. Imports no torch: listing and reports open fast."""

from .store import SCHEMA, Damaged, Store, Stored, open_store

__all__ = ["SCHEMA", "Damaged", "Store", "Stored", "open_store"]
