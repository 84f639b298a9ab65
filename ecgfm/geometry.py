"""The shape of an embedding, watched while it is trained and reported when it is evaluated.

    effective_rank  exp H(p), p_k = s_k / sum s: s the singular values of the centred vectors (Roy and Vetterli)
    rankme          the same of the vectors as they are, p_k = s_k / sum s + 1e-7, not made to sum to one (Garrido)
    condition       largest eigenvalue of the covariance over the smallest, which counts as 1e-6 of the largest at least
    alpha           of eigenvalue ~ rank^-alpha: least squares of the logs over ranks 4 to 50, weighted by 1 / rank
    uniformity      log mean exp(-2 |x - y|^2) over pairs of unit vectors; -4 is as spread as can be
    alignment       mean |x - y|^2 of a record's unit vector and its report's
    gap             distance of the mean unit vector of recordings from that of reports
    drift           mean sin^2 of the angles between the 8 leading directions of one visit and of the next
    strangers       the same between one half of the patients and the other: what drift is where visits have nothing
                    in common. Both move with the spectrum; what a method does to visits is how far they are apart

and of pools that give several vectors, slots, per record (above, their mean is looked at):

    redundancy      (highest - R) / (highest - lowest) of the coding rate at eps^2 0.5: 0 at right angles, 1 if all one
    cosine          mean |cos| of two slots of a record
    cka             mean linear CKA of two slots over records, by the unbiased HSIC (Song): 1 where one can be had from
                    the other by a rotation, about 0 where they have nothing in common, whatever their n and width
    slot_variance   of a slot's unit vector over records: 0 where it is a constant, as right angles alone allow
    slots_rank      effective rank of all slots side by side

A high rank is needed and not enough: random features have it. Ranks of n vectors fall short of the truth unless n is
ten times their width or more, so they are to be compared at equal n. Every function is given this rank's rows, and
gives what holds for the rows of all ranks, in fp64.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from ecgfm.batch import Batch
from ecgfm.data.plan import Position
from ecgfm.losses import rate
from ecgfm.losses.gather import gather, total
from ecgfm.losses.spectrum import moments
from ecgfm.losses.subspace import visits
from ecgfm.model.encoded import Encoded
from ecgfm.model.towers import Towers
from ecgfm.model.views import EcgView, TextView

FLOOR = 1e-6  # of the smallest eigenvalue in `condition`
RANKS = range(3, 50)  # of `alpha`, counted from 0
LEADING = 8  # directions whose drift is looked at
DISTORTION = 0.5  # eps^2 in `redundancy`
_ROUNDING, _TINY = 1e-12, 1e-300  # eigenvalues below that share of the largest are rounding

Vectors = Float[Tensor, "n D"]
Rows = Bool[Tensor, "n"]


def eigenvalues(symmetric: Float[Tensor, "D D"]) -> Float[Tensor, "D"]:
    """From the largest down; what is rounding is zero."""
    found = torch.linalg.eigvalsh(symmetric).flip(0)
    return torch.where(found > _ROUNDING * found[0], found, 0.0)


def spectrum(vectors: Float[np.ndarray, "n D"]) -> Float[np.ndarray, "D"]:
    """The eigenvalues of the covariance of all rows."""
    x = torch.from_numpy(vectors).double()
    return eigenvalues(moments(x, torch.ones(len(x), dtype=torch.bool))[1]).numpy()


def effective_rank(eigen: Float[Tensor, "D"]) -> Float[Tensor, ""]:
    """1, the least, where there is no spread at all."""
    single = eigen.sqrt()
    share = single / single.sum().clamp(min=_TINY)
    return torch.special.entr(share).sum().exp()


def rankme(eigen: Float[Tensor, "D"]) -> Float[Tensor, ""]:
    single = eigen.sqrt()
    return torch.special.entr(single / single.sum().clamp(min=_TINY) + 1e-7).sum().exp()


def condition(eigen: Float[Tensor, "D"]) -> Float[Tensor, ""]:
    top = eigen[0].clamp(min=_TINY)
    return top / torch.maximum(eigen[-1], FLOOR * top)


def alpha(eigen: Float[Tensor, "D"]) -> Float[Tensor, ""]:
    """NaN where there are fewer than two eigenvalues in its range."""
    part = eigen[RANKS.start : RANKS.stop]
    part = part[part > 0]
    rank = torch.arange(RANKS.start + 1, RANKS.start + 1 + len(part), dtype=part.dtype, device=part.device)
    x, y, weight = rank.log(), part.log(), 1 / rank / (1 / rank).sum()
    x, y = x - weight @ x, y - weight @ y
    return -(weight @ (x * y)) / (weight @ x.square())


def shape(x: Vectors, there: Rows) -> dict[str, Tensor]:
    """The figures that are a spectrum's, of the rows that count."""
    mean, covariance = moments(x.double(), there)
    spread, whole = eigenvalues(covariance), eigenvalues(covariance + torch.outer(mean, mean))
    return {
        "effective_rank": effective_rank(spread),
        "rankme": rankme(whole),
        "condition": condition(spread),
        "alpha": alpha(spread),
    }


def uniformity(x: Vectors, there: Rows) -> Float[Tensor, ""]:
    every = gather(_unit(x))[gather(there.int()) > 0]
    return torch.pdist(every).square().mul(-2).exp().mean().log()


def between(x: Vectors, y: Vectors, there: Rows) -> dict[str, Tensor]:
    """Of recordings and their reports, where there is one."""
    x, y = _unit(x), _unit(y)
    weight = there.to(x.dtype)
    count = total(weight.sum()).clamp(min=1)
    apart, means = total(weight @ (x - y).square().sum(1)) / count, total(weight @ (x - y)) / count
    return {"alignment": apart, "gap": means.norm()}


def angle(one: Float[Tensor, "D D"], other: Float[Tensor, "D D"], count: int = LEADING) -> Float[Tensor, ""]:
    """Mean sin^2 of the principal angles between the leading directions of two covariances."""
    first, second = (torch.linalg.eigh(covariance)[1][:, -count:] for covariance in (one, other))
    return (1 - (first.T @ second).square().sum() / count).clamp(min=0)


def drift(x: Vectors, subject: Int64[Tensor, "n"], record: Int64[Tensor, "n"]) -> dict[str, Tensor]:
    """Nothing where fewer than twice as many patients as directions come twice, in either half of the patients."""
    first, second = visits(subject, record)
    even = subject % 2 == 0
    parts = (first & even, second & even, second & ~even)
    if min(int(total(rows.sum())) for rows in parts) < 2 * LEADING:
        return {}
    one, following, others = (moments(x.double(), rows)[1] for rows in parts)
    return {"drift": angle(one, following), "strangers": angle(one, others)}


def slots(z: Float[Tensor, "n k D"]) -> dict[str, Tensor]:
    """Nothing of one slot, or of fewer records than `_cka` needs."""
    z = gather(z.double())
    n, k, d = z.shape
    if k < 2 or n < 4:
        return {}
    apart = ~torch.eye(k, dtype=torch.bool, device=z.device)
    unit, highest, lowest = _unit(z), rate.highest(k, d, DISTORTION), rate.lowest(d, DISTORTION)
    every = (z - z.mean(0)).flatten(1)
    return {
        "redundancy": (highest - rate.within(z, DISTORTION).mean()) / (highest - lowest),
        "cosine": (unit @ unit.mT)[:, apart].abs().mean(),
        "cka": _cka(z)[apart].mean(),
        "slot_variance": unit.var(0, correction=0).sum(1).mean(),
        "slots_rank": effective_rank(eigenvalues(every @ every.T if n < k * d else every.T @ every)),
    }


def _cka(z: Float[Tensor, "n k D"]) -> Float[Tensor, "k k"]:
    """Of each two slots H_ij / sqrt(H_ii H_jj); 0 where one of them is a constant.

    H is n (n - 3) times the unbiased HSIC of linear kernels. Of centred slots, with a_i the squared lengths of rows,
    H_ij = |X_i^T X_j|^2 - n / (n - 2) a_i a_j + sum a_i sum a_j / ((n - 1) (n - 2)).
    """
    n = len(z)
    x = (z - z.mean(0)).transpose(0, 1)
    lengths = x.square().sum(2)
    sums = lengths.sum(1)
    alike = _products(x) - n / (n - 2) * lengths @ lengths.T + torch.outer(sums, sums) / ((n - 1) * (n - 2))
    own = alike.diagonal()
    scale = torch.where(own > (_ROUNDING * z.square().sum((0, 2))).square(), own.rsqrt(), 0.0)
    return alike * scale[:, None] * scale


def _products(x: Float[Tensor, "k n D"]) -> Float[Tensor, "k k"]:
    """|X_i^T X_j|^2, from the rows' Gram matrices or from the products of all channels: whichever are smaller."""
    k, n, d = x.shape
    if n * n < k * d * d:
        grams = (x @ x.mT).flatten(1)
        return grams @ grams.T
    channels = x.transpose(0, 1).reshape(n, k * d)
    return (channels.T @ channels).view(k, d, k, d).square().sum((1, 3))


class Held(NamedTuple):
    """What this rank has seen of held-out batches. Figures that compare every row with every other take the first."""

    pooled: dict[str, Float[Tensor, "n k D"]]  # by pool
    report: Float[Tensor, "n D"] | None
    own: Bool[Tensor, "n"]  # rows that have a report
    subject: Int64[Tensor, "n"]
    record: Int64[Tensor, "n"]
    first: int  # rows of the first batch


def figures(held: Held) -> dict[str, float]:
    """All there is to say, as "pool/figure"; "text" is the reports'. What cannot be said is left out."""
    few, found = slice(held.first), {}
    everyone = torch.ones_like(held.own)
    vectors = {pool: (z.mean(1), everyone) for pool, z in held.pooled.items()}
    if held.report is not None:
        vectors["text"] = held.report, held.own
    for name, (x, there) in vectors.items():
        who = torch.where(there, held.subject, -1)
        made = shape(x, there) | {"uniformity": uniformity(x[few], there[few])} | drift(x, who, held.record)
        if name in held.pooled:
            made |= slots(held.pooled[name][few])
            made |= between(x, held.report, held.own) if held.report is not None else {}
        found |= {f"{name}/{figure}": value for figure, value in made.items()}
    values = torch.stack([*found.values()]).tolist()
    return {name: value for name, value in zip(found, values, strict=True) if abs(value) < float("inf")}


def look(towers: Towers, batches: Iterable[tuple[Batch, Position]], bf16: bool = False) -> Held:
    """The batches through the towers, nothing hidden."""
    device, parts = next(towers.parameters()).device, []
    for batch, _ in batches:
        seen = Encoded(towers, batch.to(device), seed=0)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            pooled = {pool: _slots(seen.embed(EcgView(), pool)) for pool in towers.pools}
            report = seen.embed(TextView()).float() if towers.text is not None else None
        parts.append((pooled, report, seen.batch.report >= 0, seen.batch.subject, seen.batch.record))
    pooled, report, *columns = zip(*parts, strict=True)
    return Held(
        {pool: torch.cat([part[pool] for part in pooled]) for pool in towers.pools},
        torch.cat(report) if towers.text is not None else None,
        *(torch.cat(column) for column in columns),
        first=len(columns[0][0]),
    )


def watch(
    batches: Callable[[], Iterable[tuple[Batch, Position]]], bf16: bool = False
) -> Callable[[int, nn.Module], Mapping[str, float]]:
    """A watcher of the loop. `bf16`: the towers run as they are trained; the figures are fp64 all the same.

    Over the loop's held-out batches that is 0.1 to 1.0 % of the operations of training, at the intervals of the recipes
    and of their small forms (python tools/count_geometry.py dbeta fingerprint fingerprint_small ...).
    """

    def see(step: int, model: nn.Module) -> Mapping[str, float]:
        towers = model.get_submodule("towers")
        assert isinstance(towers, Towers)
        return figures(look(towers, batches(), bf16))

    return see


def _slots(pooled: Float[Tensor, "B *_"]) -> Float[Tensor, "B k D"]:
    return pooled.float().reshape(len(pooled), -1, pooled.shape[-1])


def _unit(x: Float[Tensor, "*S D"]) -> Float[Tensor, "*S D"]:
    return functional.normalize(x.double(), dim=-1)
