"""python -m ecgfm.data.synthetic --shape mimic-iv-ecg --to DIR --records N --seed S"""

from pathlib import Path

import tyro

from ecgfm.data.synthetic.corpus import Shape, write


def main(to: Path, shape: Shape = "mimic-iv-ecg", records: int = 2000, seed: int = 0, pulse: bool = False) -> None:
    """Write a synthetic corpus.

    Args:
        to: an empty or new folder.
        shape: the published corpus whose layout is written.
        records: how many recordings; rounded up to whole subjects.
        seed: another seed, other subjects.
        pulse: with a pulse wave in each recording (mimic-iv-ecg only).
    """
    write(to, shape, records, seed, pulse)
    print(f"{to} holds a synthetic corpus of the shape {shape}")


if __name__ == "__main__":
    tyro.cli(main)
