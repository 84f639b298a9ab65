"""Recordings whose findings are real in the signal and said in the report, in the layouts of published corpora."""

from ecgfm.data.synthetic.corpus import write

__all__ = ["write"]
