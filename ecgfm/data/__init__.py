"""From files on disk to training batches. How the parts fit together: README.md in this folder."""
