"""One file per corpus whose layout is written: the file name, with dashes, is the shape's name on the command line.

Each exposes `write(folder, seed, records) -> Iterator[Row]`, which yields what is known of each recording once written.
"""
