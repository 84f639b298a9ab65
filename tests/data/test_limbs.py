from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from ecgfm.data import limbs
from ecgfm.data.record import LEADS


@pytest.mark.parametrize("order", list(permutations(LEADS[3:6])))
def test_any_order_of_the_augmented_leads_is_found(real: Path, order: tuple[str, str, str]):
    names = (*LEADS[:3], *order, *LEADS[6:])
    for file in sorted((real / "code-15" / "org").glob("*.mat")):
        recorded = loadmat(file)["feats"][[LEADS.index(lead) for lead in names]]
        assert limbs.order(recorded.T) == names


def test_channels_that_are_no_limb_leads_are_not_given_names():
    for channels in (np.random.default_rng(0).normal(size=(1000, 12)), np.zeros((1000, 12))):
        with pytest.raises(ValueError, match="the limb leads do not explain them"):
            limbs.order(channels)
