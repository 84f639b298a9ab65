"""The towers and what they are shown: all that downstream needs of a run."""
