"""Do the gate, the intervals and the temperature hold what they say? Simulated cohorts, seeded, old method beside new.

    python benchmarks/simulated_cohorts.py [--cohorts 4000] [--bootstraps 300]
        [--only gate intervals metrics temperature]

- The gate: how often a challenger that is worse by the margin passes (type-I error, at most 0.06 is asked of each row
  that is marked), and how often one that is as good does (power).
- Intervals: how often the 95 % interval of a proportion holds the true one (coverage, at least 0.93 is asked).
- Metrics: the same of the other metrics, of a three-label classifier.
- Temperature: the loss on new clips, in nats a clip, without a temperature, with the likeliest one, and by the rule.

Old methods: sign flips of patients' gains plus the margin, percentiles by bootstrap over patients, the likeliest
temperature between 0.05 and 20. Exit status 1 where a marked row misses.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lus.metrics import calibration, intervals, scores
from lus.metrics.design_effect import Clusters
from lus.metrics.noninferiority import PairedClips
from lus.metrics.proportions import Interval, wilson

MARGIN = LEVEL = 0.05
LARGEST_ERROR, LEAST_COVERAGE = 0.06, 0.93
COVERAGE = 0.95
FLIPS = 500
"""Random orders of signs of the old test."""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Paired:
    """Cohorts in which clips are lost and gained; clips copy their patient with such a probability that the
    intra-class correlation is `alike`."""

    name: str
    sizes: tuple[int, ...]
    alike: float
    lost: float
    gained: float
    asked: bool = True

    def draw(self, rng: np.random.Generator, difference: float) -> Array:
        """Gains (n,) at a true difference; that between clips that are lost and gained stays."""
        differing = self.lost + self.gained if difference == -MARGIN else max(self.lost + self.gained, abs(difference))
        lost = (differing - difference) / 2
        number = np.repeat(np.arange(len(self.sizes)), self.sizes)
        copied = rng.random(len(number)) < np.sqrt(self.alike)
        drawn = np.where(copied, rng.random(len(self.sizes))[number], rng.random(len(number)))
        return (drawn > 1 - (differing - lost)).astype(np.float64) - (drawn < lost)


def _rows(sizes: tuple[int, ...], name: str, alike: float, asked: bool = True) -> list[Paired]:
    pairs = ((0.05, 0.0), (0.10, 0.05), (0.20, 0.15))
    return [
        Paired(f"{name}, lost {lost:.2f}, gained {gained:.2f}", sizes, alike, lost, gained, asked)
        for lost, gained in pairs
    ]


GATE = [
    *_rows((1,) * 60, "60 patients", 0.0),
    *_rows((1,) * 70, "70 patients", 0.0),
    *_rows((2,) * 70, "70 x 2 clips, ICC 0", 0.0),
    *_rows((2,) * 70, "70 x 2 clips, ICC 0.5", 0.5),
    *_rows((1,) * 150, "150 patients", 0.0),
    *_rows((4,) * 30, "30 x 4 clips, ICC 0.5", 0.5, asked=False),
    *_rows((60, *(1,) * 60), "60 patients, and one with half of the clips, ICC 0.5", 0.5, asked=False),
    *_rows((1, 1, 1, 2, 3, 8) * 12, "72 patients of 1 to 8 clips, ICC 0.5", 0.5, asked=False),
]


@dataclass(frozen=True)
class Share:
    """Cohorts in which each patient has a share of right clips from a beta distribution."""

    name: str
    sizes: tuple[int, ...]
    accuracy: float
    alike: float = 0.5
    asked: bool = True


HALF = (118, *(2,) * 59)
SHARES = [
    *(Share(f"60 x 2 clips, accuracy {one}", (2,) * 60, one) for one in (0.5, 0.7, 0.9, 0.95, 0.98)),
    *(Share(f"15 x 2 clips, accuracy {one}", (2,) * 15, one) for one in (0.5, 0.7, 0.9, 0.95)),
    *(Share(f"one of 60 patients with half of the clips, accuracy {one}", HALF, one) for one in (0.5, 0.8, 0.9, 0.95)),
    Share("60 patients of 1 to 8 clips, accuracy 0.9", (1, 1, 1, 2, 3, 8) * 10, 0.9),
    Share("60 x 5 clips, ICC 0.2, accuracy 0.95", (5,) * 60, 0.95, 0.2),
    Share("60 patients, one clip each, accuracy 0.98", (1,) * 60, 0.98, 0.0),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=int, default=4000, help="of each row; the old methods get a tenth of them")
    parser.add_argument("--bootstraps", type=int, default=300, help="resamples of the old intervals")
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS))
    arguments = parser.parse_args()
    missed: list[str] = []
    for name in arguments.only:
        began = time.perf_counter()
        missed += PARTS[name](arguments.cohorts, arguments.bootstraps)
        print(f"({time.perf_counter() - began:.0f} s)\n", flush=True)
    print(f"missed: {'; '.join(missed)}" if missed else "every marked row holds")
    sys.exit(1 if missed else 0)


def gate(cohorts: int, _: int) -> list[str]:
    few = max(100, cohorts // 10)
    print(
        f"Non-inferiority, margin {MARGIN}, level {LEVEL}: shares of cohorts that pass ({cohorts} cohorts; sign flips "
        f"{few}; ICC 0 if not said)\n"
    )
    print(
        "| cohort | type-I error, sign flips | type-I error, now | power, sign flips | power, now | power, as the gate "
        "says |\n|---|---|---|---|---|---|"
    )
    missed = []
    for row in GATE:
        rng = np.random.default_rng(20)
        clusters = Clusters.of_groups(np.repeat(np.arange(len(row.sizes)), row.sizes).astype(object))
        cells, said = [], 0.0
        for difference in (-MARGIN, 0.0):
            pairs = [PairedClips(row.draw(rng, difference), clusters) for _ in range(cohorts)]
            old = np.mean([_sign_flips(one, rng) <= LEVEL for one in pairs[:few]])
            cells += [old, np.mean([one.p_no_worse(MARGIN) <= LEVEL for one in pairs])]
            said = float(np.mean([one.power(MARGIN, LEVEL) for one in pairs[:few]]))
        mark = " *" if row.asked else ""
        print(f"| {row.name}{mark} | {' | '.join(f'{one:.3f}' for one in (*cells, said))} |", flush=True)
        missed += [row.name] if row.asked and cells[1] > LARGEST_ERROR else []
    return missed


def _sign_flips(pairs: PairedClips, rng: np.random.Generator) -> float:
    """The old test: the margin is added to each patient's gain, and signs are flipped."""
    shifted = np.bincount(pairs.clusters.number, pairs.gains) + MARGIN * pairs.clusters.sizes
    signs = rng.choice((-1.0, 1.0), (FLIPS, len(shifted)))
    return float((1 + (signs @ shifted >= shifted.sum() - 1e-9).sum()) / (FLIPS + 1))


def proportion(cohorts: int, bootstraps: int) -> list[str]:
    few = max(100, cohorts // 10)
    print(
        f"95 % intervals of a proportion: coverage, mean width ({cohorts} cohorts; bootstrap {few}; ICC 0.5 if not "
        "said)\n"
    )
    print("| cohort | bootstrap | now | width, bootstrap | width, now |\n|---|---|---|---|---|")
    missed = []
    for row in SHARES:
        rng = np.random.default_rng(21)
        groups = np.repeat(np.arange(len(row.sizes)), row.sizes).astype(object)
        new, old = [], []
        for number in range(cohorts):
            right = _right(row, rng)
            new.append(_held(wilson(right, groups, COVERAGE), row.accuracy))
            if number < few:
                weights = intervals.resampled(groups, bootstraps, number)
                drawn = (weights @ right) / weights.sum(axis=1)
                low, high = np.quantile(drawn, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
                old.append(_held(Interval(float(low), float(high)), row.accuracy))
        (held_old, width_old), (held_new, width_new) = np.mean(old, axis=0), np.mean(new, axis=0)
        mark = " *" if row.asked else ""
        print(f"| {row.name}{mark} | {held_old:.3f} | {held_new:.3f} | {width_old:.2f} | {width_new:.2f} |", flush=True)
        missed += [row.name] if row.asked and held_new < LEAST_COVERAGE else []
    return missed


def _right(row: Share, rng: np.random.Generator) -> NDArray[np.bool_]:
    spread = (1 - row.alike) / row.alike if row.alike else np.inf
    shares = (
        rng.beta(row.accuracy * spread, (1 - row.accuracy) * spread, len(row.sizes))
        if row.alike
        else np.full(len(row.sizes), row.accuracy)
    )
    return np.asarray(rng.random(sum(row.sizes)) < np.repeat(shares, row.sizes))


def _held(one: Interval, truth: float) -> tuple[float, float]:
    return float(one.low - 1e-12 <= truth <= one.high + 1e-12), one.high - one.low


def _study(
    rng: np.random.Generator, patients: int, sharpness: float
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.object_]]:
    """Two clips of each patient, three labels; what the classifier gives is half the patient's, half the clip's."""
    targets = np.repeat(np.arange(patients) % 3, 2)
    logits = 0.7 * (np.repeat(rng.normal(size=(patients, 3)), 2, axis=0) + rng.normal(size=(2 * patients, 3)))
    logits[np.arange(2 * patients), targets] += sharpness
    given = np.exp(1.2 * logits)
    given /= given.sum(axis=1, keepdims=True)
    return targets.astype(np.int64), given.astype(np.float32), np.repeat(np.arange(patients), 2).astype(object)


SHOWN = (
    "accuracy",
    "balanced_accuracy",
    "sensitivity.a",
    "specificity.a",
    "precision.a",
    "f1.a",
    "auc.a",
    "auc",
    "brier",
)
NAMES = ("a", "b", "c")


def metric(cohorts: int, bootstraps: int) -> list[str]:
    few = max(100, cohorts // 10)
    print(f"95 % intervals of other metrics, two clips a patient: coverage by bootstrap / now ({few} cohorts each)\n")
    rows = [(60, 1.0), (60, 2.5), (60, 4.0), (15, 1.0), (15, 2.0)]
    print(f"| patients, accuracy | {' | '.join(SHOWN)} |\n|---{'|---' * len(SHOWN)}|")
    for patients, sharpness in rows:
        rng = np.random.default_rng(22)
        truth = scores.scores(*_study(rng, 60_000, sharpness)[:2], NAMES)
        held = {name: np.zeros(2) for name in SHOWN}
        for number in range(few):
            targets, given, groups = _study(rng, patients, sharpness)
            new = intervals.intervals(targets, given, groups, NAMES, 10, COVERAGE, number)
            drawn = scores.weighted(targets, given, NAMES, intervals.resampled(groups, bootstraps, number))
            for name in SHOWN:
                low, high = np.nanquantile(drawn[name], [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
                held[name] += _held(Interval(low, high), truth[name])[0], _held(new[name], truth[name])[0]
        cells = [f"{held[name][0] / few:.2f} / {held[name][1] / few:.2f}" for name in SHOWN]
        print(f"| {patients}, {truth['accuracy']:.2f} | {' | '.join(cells)} |", flush=True)
    return []


def temperature(cohorts: int, _: int) -> list[str]:
    few = max(100, cohorts // 10)
    print(f"Temperature: nats a clip on new clips (and the worst in a hundred), {few} cohorts, one clip a patient\n")
    print("| clips, true temperature, accuracy | none | likeliest | rule | rule says 1 |\n|---|---|---|---|---|")
    for clips in (20, 60):
        for true, signal in ((0.5, 1.5), (1.0, 1.5), (2.0, 1.5), (0.5, 8.0), (1.0, 8.0)):
            rng = np.random.default_rng(23)
            new_given, new_targets = _answers(rng, 20_000, true, signal)
            losses: list[list[float]] = []
            ones = 0
            for _number in range(few):
                given, targets = _answers(rng, clips, true, signal)
                rule = calibration.fit(given, targets)
                ones += rule.value == 1
                values = (1.0, _likeliest(given, targets), rule.value)
                losses.append([_loss(calibration.apply(new_given, value), new_targets) for value in values])
            shown = [
                f"{mean:.3f} ({worst:.2f})"
                for mean, worst in zip(np.mean(losses, axis=0), np.quantile(losses, 0.99, axis=0), strict=True)
            ]
            right = float((new_given.argmax(axis=1) == new_targets).mean())
            print(f"| {clips}, {true}, {right:.2f} | {' | '.join(shown)} | {ones / few:.2f} |", flush=True)
    return []


def _answers(
    rng: np.random.Generator, clips: int, true: float, signal: float
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Probabilities that a temperature `true` makes those of the process that drew the labels."""
    logits = rng.normal(size=(clips, 3)) * signal
    drawn = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = (drawn.cumsum(axis=1) < rng.random((clips, 1))).sum(axis=1)
    given = np.exp(true * (logits - logits.max(axis=1, keepdims=True)))
    return (given / given.sum(axis=1, keepdims=True)).astype(np.float32), targets.astype(np.int64)


def _likeliest(given: NDArray[np.float32], targets: NDArray[np.int64]) -> float:
    """The old fit: a minimiser between bounds, whatever the clips determine."""
    from scipy.optimize import minimize_scalar

    bounds = tuple(np.log([calibration.COLDEST, calibration.HOTTEST]))
    found = minimize_scalar(
        lambda one: _loss(calibration.apply(given, float(np.exp(one))), targets), bounds=bounds, method="bounded"
    )
    return float(np.exp(found.x))


def _loss(given: NDArray[np.float32], targets: NDArray[np.int64]) -> float:
    return float(-np.log(np.maximum(given[np.arange(len(targets)), targets], calibration.FLOOR)).mean())


PARTS: dict[str, Callable[[int, int], Sequence[str]]] = {
    "gate": gate,
    "intervals": proportion,
    "metrics": metric,
    "temperature": temperature,
}

if __name__ == "__main__":
    main()
