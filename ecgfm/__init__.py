"""Pretraining ECG foundation models at scale."""
