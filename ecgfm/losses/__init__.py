"""Losses as pure functions; those that look across the batch look across ranks."""
