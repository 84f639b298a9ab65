"""Whether a patient's visits lie in the same directions: the covariance of one visit of each against the next one's.

    consistency = ||C_1 - C_2||^2 / (||C_1||^2 + ||C_2||^2)

0 where the two are equal, 1 where they have no direction in common, and between projectors of equal rank the mean
sin^2 of their principal angles. Angles of leading eigenvectors themselves are no loss: their gradient grows as one over
the gap between eigenvalues, which balance closes. This one is smooth whatever the spectrum.

It is about patients, though it compares sums over patients. Where the two visits of n patients differ by chance, the
mean of ||C_1 - C_2||^2 over all ways to call one of them the first is 1/n^2 sum_i ||a_i a_i' - b_i b_i'||^2, for visits
a_i and b_i about their mean: it falls as each patient's visits come to lie on one line.
"""

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ecgfm.losses.gather import gather

_FLOOR = 1e-12  # far below ||C||^2 >= 1/d of unit vectors: it only makes nothing against nothing zero


def visits(subject: Int64[Tensor, "B"], record: Int64[Tensor, "B"]) -> tuple[Bool[Tensor, "B"], Bool[Tensor, "B"]]:
    """Which of this rank's rows are the first and which the second of two visits of a subject.

    A subject's records in the world batch are taken two by two in the order of their numbers, so that neither the order
    of rows nor the number of ranks changes what is compared; an odd one out, and who is not known (-1), is neither.
    """
    same = (subject[:, None] == gather(subject)) & (subject >= 0)[:, None]
    place = (same & (gather(record) < record[:, None])).sum(1)
    second = place % 2 == 1
    return ~second & (place + 1 < same.sum(1)), second


def consistency(first: Float[Tensor, "D D"], second: Float[Tensor, "D D"]) -> Float[Tensor, ""]:
    apart, together = (first - second).square().sum(), first.square().sum() + second.square().sum()
    return apart / (together + _FLOOR)
