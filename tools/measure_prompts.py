"""How should a label be put in words? Ways of scoring without a label:

    python tools/measure_prompts.py --run runs/dbeta@1 --shards demo/shards --labels demo/corpus/factors.parquet

on the validation and test records of a task.
"""

from collections.abc import Sequence

import numpy as np
import tyro

from ecgfm.embedder import load
from ecgfm.evaluate import embed, metrics, tasks, zeroshot

WHOLE = "sinus rhythm. {}. abnormal ecg"


def main(run: str, shards: str, labels: str, least: int = 10, device: str = "auto") -> None:
    """Print the mean AUC over labels of each way.

    Args:
        run: folder of a run, or of an export.
        shards: a shard folder.
        labels: its label set, or a table.
        least: test records that must have a label.
        device: where to embed.
    """
    embedder, examined = load(run, device), tasks.read(tasks.Task(shards, labels, least))
    held = [examined.splits[split] for split in ("valid", "test")]
    ecg = np.concatenate([embed.embed(embedder, examined.task.folder, cohort.record) for cohort in held])
    truth = np.concatenate([cohort.labels for cohort in held])
    written = zeroshot.prompts(examined.task).wordings

    def said(template: str = "{}", most: int = 9, unit: bool = True) -> np.ndarray:
        """A direction per label."""
        return np.stack([mean([template.format(text) for text in written[n]][:most], unit) for n in examined.names])

    def mean(texts: Sequence[str], unit: bool = True) -> np.ndarray:
        vectors = embedder.embed_reports(texts).float().cpu().numpy()
        return _unit(_unit(vectors).mean(0)) if unit else vectors.mean(0)

    normal, of_unit = mean(written[""]), _unit(ecg)
    ways = {
        "one wording": of_unit @ said(most=1).T,
        "mean of all wordings": of_unit @ said().T,
        "mean, vectors as they are": ecg @ said(unit=False).T,
        "mean, less a normal report": of_unit @ (said() - normal).T,
        "mean within a whole report, less a normal one": of_unit @ (said(WHOLE) - normal).T,
        "one wording, less a normal report": of_unit @ (said(most=1) - normal).T,
        "as the package does": zeroshot.scores(embedder, ecg, examined.names, zeroshot.prompts(examined.task)),
    }
    once = np.ones((len(truth), 1), np.float32)
    print(f"{len(truth)} recordings, {len(examined.names)} labels\n\n| way | AUC |\n|---|---|")
    for way, scores in ways.items():
        print(f"| {way} | {metrics.macro(metrics.auc(scores, truth, once))[0]:.3f} |")


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
