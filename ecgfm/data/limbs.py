"""Einthoven's and Goldberger's identities: which channel is which augmented limb lead, where documents disagree."""

from itertools import permutations

import numpy as np
from jaxtyping import Float

from ecgfm.data.record import LEADS


def order(samples: Float[np.ndarray, "time 12"]) -> tuple[str, ...]:
    """Names of twelve channels that start with I, II, III and end with V1 to V6, from the three between.

    aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2. Raises ValueError where no order explains the channels.
    """
    one, two = samples[:, 0], samples[:, 1]
    expected = np.stack([-(one + two) / 2, one - two / 2, two - one / 2], axis=1)
    error = np.abs(samples[:, 3:6, None] - expected[:, None, :]).mean(axis=0)  # channel by lead
    best, second = sorted((error[range(3), leads].sum(), leads) for leads in permutations(range(3)))[:2]
    if not best[0] < second[0] / 2:  # the right order leaves noise, any other leaves the heart
        raise ValueError("channels 4 to 6 are not aVR, aVL and aVF in any order: the limb leads do not explain them")
    return (*LEADS[:3], *(LEADS[3:6][lead] for lead in best[1]), *LEADS[6:])
