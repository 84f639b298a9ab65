"""One file per corpus: the file name, with dashes, is the corpus's name on the command line.

Each file exposes a frozen dataclass `Corpus`, whose fields are that corpus's options, with

    entries(source: Folder) -> pa.Table            the list of records (ecgfm.data.entry.SCHEMA), from tables alone
    read(source: Folder, entry: dict) -> Record    one of them, or a Refusal

A Corpus is a small value that travels to the workers that read.
"""

import pkgutil

NAMES = tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__)))
