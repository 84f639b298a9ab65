"""Every figure against closed forms or brute force, and the world's figures whatever the number of ranks."""

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
import ranks
import torch
from batches import make, tiny
from torch import Tensor
from torch.nn import functional

from ecgfm import geometry
from ecgfm.batch import Batch
from ecgfm.data.plan import Position
from ecgfm.losses.gather import rank, world
from ecgfm.objectives import dbeta, fingerprint
from ecgfm.train import loop
from ecgfm.train.pretraining import Pretraining


def normal(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(width: int) -> Tensor:
    return torch.linalg.qr(normal(width, width, seed=5))[0]


def cross(scale: Tensor) -> Tensor:
    """To both sides of each axis: mean 0, singular values in proportion to `scale`."""
    return torch.cat((scale.diag(), -scale.diag()))


def everyone(x: Tensor) -> Tensor:
    return torch.ones(len(x), dtype=torch.bool)


def shape(x: Tensor) -> dict[str, float]:
    return {name: value.item() for name, value in geometry.shape(x, everyone(x)).items()}


def test_ranks_in_closed_form() -> None:
    isotropic = shape(cross(torch.ones(768).double()))
    assert isotropic["effective_rank"] == pytest.approx(768, abs=1e-6)
    assert isotropic["rankme"] == pytest.approx(768.33, abs=0.01)
    assert isotropic["condition"] == pytest.approx(1)
    one = torch.zeros(768, dtype=torch.float64)
    one[3] = 2.0
    line = shape(cross(one))
    assert line["effective_rank"] == pytest.approx(1.000, abs=1e-6)
    assert line["rankme"] == pytest.approx(1.0012, abs=1e-4)
    two_levels = torch.cat((torch.ones(16), torch.full((240,), 0.1))).double()
    assert shape(cross(two_levels))["effective_rank"] == pytest.approx(159.2, abs=0.05)


def test_a_point_has_no_spread() -> None:
    point = shape(torch.ones(9, 6).double())
    assert point["effective_rank"] == 1
    assert point["condition"] == pytest.approx(1 / geometry.FLOOR)
    assert math.isnan(point["alpha"])


@pytest.mark.parametrize(("times", "rank"), [(1, 205.9), (4, 247.3), (10, 252.7)])
def test_few_rows_make_a_rank_look_small(times: int, rank: float) -> None:
    assert shape(normal(256 * times, 256))["effective_rank"] == pytest.approx(rank, abs=0.5)


def test_what_a_rank_does_not_depend_on() -> None:
    x = normal(300, 12) * torch.arange(1, 13)
    plain = shape(x)
    for other in (7 * x, x @ rotation(12), x[torch.randperm(300)], x + 50):
        assert shape(other)["effective_rank"] == pytest.approx(plain["effective_rank"], rel=1e-9)
    assert shape(x + 50)["rankme"] < 0.9 * plain["rankme"]  # it is not centred
    assert shape(torch.cat((x, x)))["effective_rank"] == pytest.approx(plain["effective_rank"], rel=1e-9)


def test_condition_and_its_floor() -> None:
    assert shape(cross(torch.tensor([4.0, 2.0, 1.0]).double()))["condition"] == pytest.approx(16)
    flat = torch.tensor([1.0, 1.0, 0.0]).double()
    assert shape(cross(flat) @ rotation(3))["condition"] == pytest.approx(1 / geometry.FLOOR)


@pytest.mark.parametrize("slope", [0.5, 1.0, 1.7])
def test_alpha_is_the_slope_of_a_power_law(slope: float) -> None:
    scale = torch.arange(1, 129).double() ** (-slope / 2)
    scale[:3] = 5.0  # outside the range
    assert shape(cross(scale) @ rotation(128))["alpha"] == pytest.approx(slope, rel=1e-9)


def test_alignment_uniformity_and_gap() -> None:
    axes = torch.eye(8).double()
    assert geometry.uniformity(3 * axes, everyone(axes)).item() == pytest.approx(-4)
    assert geometry.uniformity(torch.ones(5, 8), everyone(axes[:5])).item() == pytest.approx(0)
    sphere = normal(2000, 256)
    assert geometry.uniformity(sphere, everyone(sphere)).item() == pytest.approx(-3.969, abs=2e-3)
    x, y = axes[:2].repeat(3, 1), axes[2:4].repeat(3, 1)
    pair = geometry.between(2 * x, 5 * y, everyone(x))
    assert pair["alignment"].item() == pytest.approx(2)
    assert pair["gap"].item() == pytest.approx(1)  # means of two axes each: sqrt(4 * 1/4)
    same = geometry.between(x, x, everyone(x))
    assert (same["alignment"].item(), same["gap"].item()) == (0, 0)
    some = torch.arange(6) < 2
    y[2:] = 99.0
    torch.testing.assert_close(geometry.between(x, y, some)["alignment"], pair["alignment"])
    assert geometry.uniformity(y, some) == geometry.uniformity(y[:2], everyone(y[:2]))


def test_angles_of_subspaces() -> None:
    k, d = 4, 64
    bases = [torch.linalg.qr(normal(d, k, seed=seed))[0] for seed in range(40)]
    covariances = [basis @ basis.T for basis in bases]
    sines = 1 - torch.linalg.svdvals(bases[0].T @ bases[1]).square()
    torch.testing.assert_close(geometry.angle(covariances[0], covariances[1], k), sines.mean())
    random = [geometry.angle(one, other, k) for one, other in zip(covariances[::2], covariances[1::2], strict=True)]
    assert torch.stack(random).mean().item() == pytest.approx(1 - k / d, abs=0.02)
    turned = bases[0] @ rotation(k)
    assert geometry.angle(covariances[0], turned @ turned.T, k) < 1e-14


def test_drift_is_less_than_that_of_strangers_where_visits_have_something_in_common() -> None:
    patients = 200
    lasting, day = normal(patients, 24), normal(2 * patients, 24, seed=1)
    subject, record = torch.arange(patients).repeat(2), torch.arange(2 * patients)

    def look(share: float) -> dict[str, Tensor]:
        return geometry.drift(math.sqrt(share) * lasting.repeat(2, 1) + math.sqrt(1 - share) * day, subject, record)

    same, some, nothing = look(1.0), look(0.9), look(0.0)
    assert same["drift"] < 1e-12
    assert some["drift"] < 0.7 * some["strangers"]
    for made in (same, some, nothing):  # an isotropic spectrum has no leading directions that strangers share
        assert made["strangers"].item() == pytest.approx(1 - 8 / 24, abs=0.12)
    assert nothing["drift"].item() == pytest.approx(1 - 8 / 24, abs=0.12)
    assert geometry.drift(day[:40], subject[:40], record[:40]) == {}


def test_slots_in_closed_form() -> None:
    n, k, d = 30, 8, 256

    def slots(z: Tensor) -> dict[str, float]:
        return {name: value.item() for name, value in geometry.slots(z).items()}

    apart = slots(rotation(d)[:k].expand(n, k, d))  # constants, at right angles
    assert apart["redundancy"] == pytest.approx(0, abs=1e-9)
    assert apart["cosine"] == pytest.approx(0, abs=1e-12)
    assert apart["slot_variance"] == pytest.approx(0, abs=1e-12)
    assert apart["slots_rank"] == pytest.approx(1)
    one = normal(n, 1, d).expand(n, k, d)
    same = slots(one)
    assert (same["redundancy"], same["cosine"], same["cka"]) == pytest.approx((1, 1, 1))
    assert same["slots_rank"] == pytest.approx(shape(one[:, 0])["effective_rank"])
    turned = torch.stack((one[:, 0], 3 * one[:, 0] @ rotation(d)), dim=1)
    assert slots(turned)["cka"] == pytest.approx(1)
    assert geometry.slots(one[:, :1]) == {}
    rho, eps2 = 0.3, geometry.DISTORTION  # equal cosines: the closed form of the rate
    equal = torch.linalg.cholesky((1 - rho) * torch.eye(k).double() + rho) @ rotation(d)[:k]
    a = d / (k * eps2)
    held = 0.5 * math.log1p(a * (1 + (k - 1) * rho)) + (k - 1) / 2 * math.log1p(a * (1 - rho))
    best, worst = k / 2 * math.log1p(a), 0.5 * math.log1p(d / eps2)
    made = slots(equal.expand(n, k, d))
    assert made["redundancy"] == pytest.approx((best - held) / (best - worst))
    assert made["cosine"] == pytest.approx(rho)


@pytest.mark.parametrize("n", [12, 40])  # from grams of rows, and from products of channels
def test_slots_against_brute_force(n: int) -> None:
    z = normal(n, 3, 10) + normal(1, 3, 10, seed=1)
    made = geometry.slots(z)
    centred = [z[:, slot] - z[:, slot].mean(0) for slot in range(3)]

    def hsic(x: Tensor, y: Tensor) -> Tensor:
        """Song et al., equation 4, as it stands there, less its factor."""
        n, (k, q) = len(x), ((one @ one.T).fill_diagonal_(0) for one in (x, y))
        return (k * q).sum() + k.sum() * q.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k @ q).sum()

    def cka(x: Tensor, y: Tensor) -> Tensor:
        return hsic(x, y) / (hsic(x, x) * hsic(y, y)).sqrt()

    pairs = [cka(centred[i], centred[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    torch.testing.assert_close(made["cka"], torch.stack(pairs).mean())
    torch.testing.assert_close(made["slots_rank"].item(), shape(torch.cat(centred, dim=1))["effective_rank"])
    unit = functional.normalize(z, dim=-1)
    torch.testing.assert_close(made["slot_variance"], unit.var(0, correction=0).sum(-1).mean())
    least = shape(torch.cat((normal(40, 10), normal(40, 10)), dim=1))["effective_rank"]
    assert least <= 10 + 1e-9


@pytest.mark.parametrize(("n", "d"), [(64, 128), (64, 16), (2000, 16)])
def test_slots_that_have_nothing_in_common_are_not_alike_at_any_size(n: int, d: int) -> None:
    noise = normal(n, 8, d)
    assert abs(geometry.slots(noise)["cka"].item()) < 0.02  # with bias: 0.66, 0.20 and 0.01
    turned = torch.stack((noise[:, 0], noise[:, 0], 3 * noise[:, 0] @ rotation(d) + 5), dim=1)
    assert geometry.slots(turned)["cka"].item() == pytest.approx(1)
    constant = torch.stack((noise[:, 0], torch.full((n, d), 0.3, dtype=torch.float64)), dim=1)
    assert geometry.slots(constant)["cka"] == 0


OBJECTIVES = {"dbeta": dbeta.Config(), "fingerprint": fingerprint.Config()}


def model(text: str) -> Pretraining:
    torch.manual_seed(0)
    return Pretraining(tiny(text), OBJECTIVES)


def held_out() -> Iterator[tuple[Batch, Position]]:
    """Two world batches, this rank's part of them; everybody comes twice, once in each."""
    for index in range(2):
        batch = make(72, samples=200, seed=index)
        report = torch.where(torch.arange(72) % 5 == 3, -1, batch.report)
        batch = replace(batch, subject=torch.arange(72), report=report)
        yield batch[rank() * 72 // world() : (rank() + 1) * 72 // world()], Position(index + 1)


def watched(text: str) -> dict[str, float]:
    return loop.watch({"geometry": geometry.watch(held_out)}, 7, model(text))[0]


def test_what_is_watched(text_model: str) -> None:
    found = watched(text_model)
    spectrum = {"effective_rank", "rankme", "condition", "alpha", "uniformity", "drift", "strangers"}
    pair, slots = {"alignment", "gap"}, {"redundancy", "cosine", "cka", "slot_variance", "slots_rank"}
    wanted = {"summary": spectrum | pair, "fingerprint": spectrum | pair | slots, "text": spectrum}
    assert found.keys() == {f"geometry/{pool}/{name}" for pool, names in wanted.items() for name in names}
    assert all(math.isfinite(value) for value in found.values())
    assert found == watched(text_model)


def test_two_ranks_find_what_one_finds(text_model: str) -> None:
    whole = watched(text_model)
    for part in ranks.run(2, watched, text_model):
        assert part == pytest.approx(whole, rel=1e-4, abs=1e-6)


def test_without_reports(text_model: str) -> None:
    towers = replace(tiny(text_model), text=None)
    torch.manual_seed(0)
    silent = Pretraining(towers, {"fingerprint": fingerprint.Config()})
    found, _ = loop.watch({"geometry": geometry.watch(held_out)}, 0, silent)
    names = {name.rpartition("/")[0] for name in found}
    assert names == {"geometry/fingerprint"}
