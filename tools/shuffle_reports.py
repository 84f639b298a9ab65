"""Shards whose reports were dealt anew, for the control that must learn nothing from them:

python tools/shuffle_reports.py demo/shards --to demo/shuffled
python jobs/pretrain.py dbeta_small --shards demo/shuffled --to runs/shuffled@1 ...
python jobs/evaluate.py --run runs/dbeta@1 --shuffled runs/shuffled@1 ...
"""

import tyro

from ecgfm.data.storage import Folder
from ecgfm.evaluate.controls import shuffle_reports


def main(shards: tyro.conf.Positional[str], /, to: str, seed: int = 0) -> None:
    manifest = shuffle_reports(Folder(shards), Folder(to), seed)
    print(f"{Folder(to)} holds {manifest.records} records, each with another's report")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
