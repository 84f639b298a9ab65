"""Which trials a sweep has, and how what is asked for is read."""

import math
from collections import Counter
from dataclasses import replace

import pytest

from ecgfm import recipes
from ecgfm.model.views import EcgView, TextView
from ecgfm.run import Run
from ecgfm.sweep.space import Axis, Range, axes, shortened, trials, unlike

COUNT, TCR = "objectives.fingerprint.pool.count", "objectives.fingerprint.terms.tcr"


@pytest.fixture(scope="module")
def run() -> Run:
    return recipes.find(["fingerprint_tiny"])


def test_a_grid_is_the_product_with_every_seed(run: Run) -> None:
    found = trials(run, axes(run, [f"{COUNT}=1,8", f"{TCR}=0,0.02"]), seeds=3)
    assert [t.name for t in found[:4]] == [
        *(f"count=1,tcr=0,seed={s}@1" for s in range(3)),
        "count=1,tcr=0.02,seed=0@1",
    ]
    assert len({t.name for t in found}) == 12
    last = found[-1]
    assert last.setting == {COUNT: 8, TCR: 0.02}
    assert (last.run.objectives["fingerprint"].pool.count, last.run.seed) == (8, 2)
    config = run.objectives["fingerprint"]
    for trial in found:  # nothing else differs from the recipe
        same = {"fingerprint": replace(config, pool=replace(config.pool, count=trial.setting[COUNT]))}
        same = {"fingerprint": replace(same["fingerprint"], terms={**config.terms, "tcr": trial.setting[TCR]})}
        assert trial.run == replace(run, seed=trial.run.seed, objectives=same)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (f"{TCR}=0,1e-2", (0.0, 0.01)),
        (f"{COUNT}=4", (4,)),
        ("optimizer.clip=none,1", (None, 1.0)),
        ("objectives.fingerprint.pool.residual=true,False", (True, False)),
        ("schedule.decline=cosine,exponential", ("cosine", "exponential")),
        ("optimizer.rates.ecg=1", (1.0,)),
        (f"{COUNT}=1..32", Range(1, 32, whole=True)),
        (f"{TCR}=0.001..1", Range(0.001, 1.0)),
        ("optimizer.clip=0.1..10", Range(0.1, 10.0)),
    ],
)
def test_values_are_of_the_type_of_the_field(run: Run, text: str, values: object) -> None:
    (axis,) = axes(run, [text])
    assert axis.values == values
    if isinstance(values, tuple):
        assert [type(v) for v in axis.values] == [type(v) for v in values]  # type: ignore[union-attr]


def test_a_mapping_that_declares_nothing_goes_by_the_value_that_is_there(run: Run) -> None:
    loose = replace(run, objectives={"mine": {"weight": 1.0, "count": 2}})
    found = axes(loose, ["objectives.mine.weight=2", "objectives.mine.count=2"])
    assert [type(axis.values[0]) for axis in found] == [float, int]  # type: ignore[index]


@pytest.mark.parametrize(
    ("over", "said"),
    [
        (["objectives.fingerprint.pool.cuont=1"], "did you mean 'count'?"),
        (["objectives.fingerprints.pool.count=1"], "did you mean 'fingerprint'?"),
        ([f"{COUNT}=1,two"], "'two' is no value for it, which is int"),
        ([f"{COUNT}=0.5"], "'0.5' is no value for it, which is int"),
        (["schedule.decline=linear"], "'linear' is no value"),
        (["schedule.decline=a..b"], "no value"),
        ([f"{TCR}=1..0.1"], "is no range of numbers from low to high"),
        (["optimizer.decay=0,0.0"], "a value is given twice"),
        (["optimizer.decay=0", "optimizer.decay=1"], "is given twice"),
        (["optimizer.decay"], "it should be path=value,value"),
        (["optimizer=1"], "'1' is no value for it, which is Optimizer"),
        (["seed=1,2"], "--seeds"),
        ([], "over which fields?"),
    ],
)
def test_what_cannot_be_read_is_answered_with_what_to_do(run: Run, over: list[str], said: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        axes(run, over)
    assert said in str(refused.value)


def test_a_value_that_the_recipe_refuses_ends_it_before_it_begins(run: Run) -> None:
    with pytest.raises(ValueError, match="at least one query"):
        trials(run, axes(run, [f"{COUNT}=4,0"]))


def test_draws_lie_in_the_range_and_are_spread_evenly_over_its_decades(run: Run) -> None:
    found = trials(run, axes(run, [f"{TCR}=0.001..1", "optimizer.decay=0..2"]), count=300)
    tcr, decay = ([t.setting[path] for t in found] for path in (TCR, "optimizer.decay"))
    assert all(0.001 <= v <= 1 for v in tcr)
    assert all(0 <= v <= 2 for v in decay)
    decades = Counter(min(math.floor(math.log10(v)), -1) for v in tcr)
    assert all(decades[d] == pytest.approx(100, abs=30) for d in (-3, -2, -1))
    assert sum(v < 1 for v in decay) == pytest.approx(150, abs=35)


def test_whole_numbers_are_all_met_and_the_ends_too() -> None:
    for ends in ((1, 4), (0, 3)):
        r = Range(*ends, whole=True)
        met = {r.at(share / 1000) for share in range(1000)}
        assert met == set(range(ends[0], ends[1] + 1))
        assert all(isinstance(value, int) for value in met)


def test_draws_differ_are_repeatable_and_more_begin_with_the_same(run: Run) -> None:
    over = axes(run, [f"{COUNT}=1..6", f"{TCR}=0,0.02"])
    twelve = trials(run, over, count=12)
    assert len({t.name for t in twelve}) == 12  # all there are
    assert twelve == trials(run, over, count=12)
    assert trials(run, over, count=5) == twelve[:5]
    with pytest.raises(ValueError, match="there are not 13 settings to draw, only 12"):
        trials(run, over, count=13)


def test_a_range_without_a_number_of_trials_is_refused(run: Run) -> None:
    with pytest.raises(ValueError, match="say with --trials how many to draw"):
        trials(run, [Axis(TCR, Range(0.1, 1.0))])
    with pytest.raises(ValueError, match="at least one trial"):
        trials(run, [Axis(TCR, (0.0,))], seeds=0)


def test_names_are_as_short_as_they_can_be_told_apart() -> None:
    assert shortened(["a.b.count", "a.terms.tcr"]) == {"a.b.count": "count", "a.terms.tcr": "tcr"}
    assert shortened(["a.x.count", "b.x.count"]) == {"a.x.count": "a.x.count", "b.x.count": "b.x.count"}
    assert shortened(["a.x.count", "a.y.count"]) == {"a.x.count": "x.count", "a.y.count": "y.count"}
    assert shortened(["steps", "schedule.steps"]) == {"steps": "steps", "schedule.steps": "schedule.steps"}


def test_a_value_with_a_slash_makes_no_folders(run: Run) -> None:
    named = recipes.find(["dbeta_tiny"])
    (trial, _) = trials(named, axes(named, ["towers.text.name=/a/b c,d"]))
    assert trial.name == "name=a-b-c,seed=0@1"
    with pytest.raises(ValueError, match="two trials would be called"):
        trials(named, axes(named, ["towers.text.name=a/b,a-b"]))


@pytest.mark.parametrize(
    ("path", "figure", "is_unlike"),
    [
        (TCR, "held-out/loss", True),
        (TCR, "held-out/fingerprint/mem", False),  # a term by itself, whatever its weight
        (TCR, "made-up/findings/probe", False),
        ("objectives.fingerprint.tokens", "held-out/loss", True),
        ("objectives.fingerprint.tokens", "held-out/fingerprint/mem", True),
        ("objectives.merit.masked.tokens", "held-out/loss", True),
        ("objectives.dense.read.words", "held-out/loss", True),
        ("objectives.merit.loss", "held-out/loss", True),
        ("objectives.crossl.keep", "held-out/loss", True),
        ("objectives.dbeta.far", "geometry/summary/rankme", False),
        (COUNT, "held-out/loss", False),
        ("words", "held-out/loss", False),  # of the longest report
        ("optimizer.rates.ecg", "held-out/loss", False),
    ],
)
def test_a_loss_that_changes_its_meaning_compares_nothing(path: str, figure: str, is_unlike: bool) -> None:
    said = unlike([Axis("optimizer.decay", (0, 1)), Axis(path, (0.1, 0.2))], figure)
    assert bool(said) == is_unlike
    assert not unlike([Axis(path, (0.1,))], figure)
    if is_unlike:
        assert path in said
        assert "--cadence.best CORPUS/SET/probe" in said


def test_what_methods_hide_is_known_by_its_names() -> None:
    found = set()
    for run in (recipes.named()[name]() for name in ("dbeta", "fingerprint", "merit", "crossl", "dense")):
        for config in run.objectives.values():
            parts = [config, *(part for part in vars(config).values() if isinstance(part, EcgView | TextView))]
            found |= {name for part in parts for name, value in vars(part).items() if type(value) is float}
    assert found == {"leads", "tokens", "words", "far", "keep", "scale", "bias", "distortion"}
