"""Modules that several methods use in training and that die after it."""
