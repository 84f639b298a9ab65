"""The machine's report of a visit: what it found, in its dialect, with hedges, omissions, denials and chatter."""

from collections.abc import Sequence

import numpy as np

from ecgfm.data.synthetic import phrases as say
from ecgfm.data.synthetic.findings import TERRITORIES, ramp
from ecgfm.data.synthetic.visit import Visit

OMITTED = 0.05  # share of what is found that is not said
SHUFFLED = 0.03  # share of reports in another order
UNUSUAL = 0.04  # share of statements in another dialect's wording
MINOR = ("bradycardia", "tachycardia", "pac", "left_axis", "right_axis", "first_degree_av_block", "low_voltage")
ORDER = ("pvc", "pac", "first_degree_av_block", "left_axis", "right_axis", "rbbb", "lbbb", "lvh", "infarct")
ORDER += ("st_elevation", "st_depression", "t_inversion", "long_qt", "low_voltage")
FIRM = 0.56  # severity from which a finding is said without a hedge; some need more
FIRM_FROM = {"infarct": 0.72, "t_inversion": 0.62, "st_depression": 0.6, "lvh": 0.6}


def report(visit: Visit, dialect: int, poor_signal: bool = False) -> list[str]:
    """The lines as they are printed."""
    rng = visit.rng("report")
    speaker = _Speaker(rng, dialect)
    lines, said = _rhythm(visit, speaker)
    found = [line for group in ORDER if group not in said for line in _group(visit, group, speaker)]
    found += _chatter(visit, speaker)
    if speaker.chance(SHUFFLED):
        found = [found[i] for i in rng.permutation(len(found))]
    lines += dict.fromkeys(found)
    if poor_signal and speaker.chance(0.5):
        lines.insert(0, speaker.one(say.QUALITY))
    if not speaker.chance(OMITTED):
        lines.append(_summary(visit, speaker))
    return [line.upper() for line in lines] if dialect == 2 else lines


class _Speaker:
    def __init__(self, rng: np.random.Generator, dialect: int):
        self.rng, self.dialect = rng, dialect

    def one(self, wordings: Sequence[str]) -> str:
        other = self.rng.random() < UNUSUAL
        return wordings[int(self.rng.integers(len(wordings))) if other else self.dialect % len(wordings)]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)


def _rhythm(visit: Visit, speaker: _Speaker) -> tuple[list[str], set[str]]:
    """The line of the rhythm, or two, and which other findings it has named."""
    present = visit.present
    if present["paced"]:
        return [speaker.one(say.PACED)] + [speaker.one(say.AFTER_PACING)] * speaker.chance(0.3), set()
    if present["atrial_fibrillation"] or present["atrial_flutter"]:
        flutter = present["atrial_flutter"]
        line = speaker.one(say.FLUTTER if flutter else say.FIBRILLATION)
        if flutter and visit.rhythm == "flutter" and speaker.dialect:
            line += say.CONDUCTION[visit.conduction]
        for rate, wordings in say.RESPONSE.items():
            if present[rate] and not speaker.chance(OMITTED):
                line += speaker.one(wordings)
        return [line], set()
    rate = next((r for r in ("bradycardia", "tachycardia") if present[r] and not speaker.chance(OMITTED / 2)), "normal")
    if rate == "normal" and visit.subject.build.variability > 0.07:
        rate = "arrhythmia"
    line = speaker.one(say.SINUS[rate])
    named = set()
    for finding, wordings in say.SHORT.items():
        if present[finding] and not named and speaker.dialect == 1 and speaker.chance(0.9):
            line += speaker.one(wordings)
            named.add(finding)
    return [line], named


def _group(visit: Visit, group: str, speaker: _Speaker) -> list[str]:
    """At most one line on a finding, its territories taken together."""
    findings = {f: visit.severity[f] for f in visit.severity if f == group or f.startswith(f"{group}_")}
    seen = [f for f in findings if visit.present[f] and not speaker.chance(OMITTED)]
    if not seen:  # something is now and then made of what lies just below the threshold
        worst = max(findings, key=lambda f: findings[f])
        if visit.present["paced"] or not speaker.chance(0.1 * ramp(findings[worst], 0.3, 0.5)):
            return []
        return [_placed(speaker.one(say.HEDGED[group]), visit, [worst])]
    if group == "left_axis" and visit.axis < -50:
        return [speaker.one(say.LEFT_FASCICLE)]
    if group == "lvh" and visit.subject.build.strain * ramp(findings["lvh"], 0.45, 0.95) > 0.3:
        return [speaker.one(say.STRAIN)]
    firm = max(findings[f] for f in seen) > FIRM_FROM.get(group, FIRM) or speaker.chance(0.05)
    return [_placed(speaker.one((say.FIRM if firm else say.HEDGED)[group]), visit, seen)]


def _placed(statement: str, visit: Visit, findings: Sequence[str]) -> str:
    """The statement with the territory it speaks of."""
    places = tuple(t for t in TERRITORIES if any(f.endswith(t) for f in findings)) or (visit.territory,)
    place = say.TOGETHER.get(places, places[0])
    return statement.format(t=place, T=place.capitalize())


def _chatter(visit: Visit, speaker: _Speaker) -> list[str]:
    """Statements that are no finding of ours, some of them early signs of one."""
    build, lines = visit.subject.build, []
    if visit.rhythm == "sinus" and speaker.chance(ramp(visit.left_atrium, 0.45, 0.9)):
        lines.append(speaker.one(say.LEFT_ATRIUM))
    if max(build.junction) > 0.15 and not visit.present["paced"] and speaker.chance(0.9):
        lines.append(speaker.one(say.EARLY))
    if build.r_progression > 0.35 and not visit.present["paced"] and speaker.chance(0.9):
        lines.append(speaker.one(say.WEAK_R))
    st = any(p for f, p in visit.present.items() if f.startswith("st_"))
    if not st and not visit.present["pvc"] and speaker.chance(0.05):
        lines.append(speaker.one(say.DENIALS))
    if visit.number and speaker.chance(0.03):
        lines.append(speaker.one(say.COMPARED))
    return lines


def _summary(visit: Visit, speaker: _Speaker) -> str:
    found = [f for f, there in visit.present.items() if there and f != "sinus_rhythm"]
    if not found:
        kind = "borderline" if max(s for f, s in visit.severity.items() if f != "sinus_rhythm") > 0.45 else "normal"
    elif set(found) <= {"bradycardia", "tachycardia"}:
        kind = "otherwise"
    else:
        kind = "borderline" if set(found) <= set(MINOR) else "abnormal"
    return speaker.one(say.SUMMARY[kind])
