from __future__ import annotations

import numpy as np
import pytest

from lus.metrics.design_effect import Clusters
from lus.metrics.noninferiority import PairedClips


def _pairs(gained: int, lost: int, alike: int, size: int = 1) -> PairedClips:
    """Clips of which so many are gained, lost, alike; in this order in groups of one size."""
    gains = np.repeat([1.0, -1.0, 0.0], [gained, lost, alike])
    return PairedClips(gains, Clusters.of_groups((np.arange(len(gains)) // size).astype(object)))


@pytest.mark.parametrize(
    ("counts", "level", "published"),
    [
        # (both, first alone, second alone, neither) as R's ratesci and contingencytables hold them to publications.
        pytest.param((4, 9, 3, 16), 0.95, (-0.027, 0.390), id="Tango 1998"),
        pytest.param((43, 0, 1, 0), 0.90, (-0.096, 0.037), id="Tango 1998, no gain"),
        pytest.param((53, 16, 8, 9), 0.95, (-0.020, 0.207), id="Agresti and Min 2005"),
        pytest.param((1, 1, 7, 12), 0.95, (-0.517, -0.026), id="Fagerland, Lydersen and Laake 2014: Bentur"),
        pytest.param((59, 6, 16, 80), 0.95, (-0.1240, -0.0054), id="Fagerland, Lydersen and Laake 2017: Cavo"),
        pytest.param((8, 3, 1, 2), 0.95, (-0.1670, 0.4327), id="Tang et al. 2010"),
        pytest.param((7, 25, 2, 68), 0.95, (0.139, 0.321), id="Chang et al. 2024"),
    ],
)
def test_intervals_are_those_published(
    counts: tuple[int, int, int, int], level: float, published: tuple[float, float]
) -> None:
    found = _pairs(counts[1], counts[2], counts[0] + counts[3]).interval(level)
    digits = max(len(str(abs(one)).split(".")[1]) for one in published)
    assert (round(found.low, digits), round(found.high, digits)) == published


def test_without_a_margin_the_statistic_is_mcnemars() -> None:
    assert _pairs(16, 8, 62).z(0.0) == pytest.approx((16 - 8) / np.sqrt(16 + 8))


def test_an_interval_holds_the_differences_that_the_test_does_not_refuse() -> None:
    for pairs in (_pairs(5, 9, 40), _pairs(6, 10, 44, size=4)):
        found = pairs.interval(0.90)
        assert pairs.p_no_worse(-found.low) == pytest.approx(0.05, abs=1e-6)
        assert _reversed(pairs).p_no_worse(found.high) == pytest.approx(0.05, abs=1e-6)


def _reversed(pairs: PairedClips) -> PairedClips:
    return PairedClips(-pairs.gains, pairs.clusters)


def test_clips_that_are_alike_are_evidence_by_their_number() -> None:
    assert _pairs(0, 0, 5).p_no_worse(0.05) > 0.25
    assert _pairs(0, 0, 51).p_no_worse(0.05) > 0.05 > _pairs(0, 0, 52).p_no_worse(0.05)
    # Two clips of each of 51 patients are no more than one of each.
    assert _pairs(0, 0, 102, size=2).p_no_worse(0.05) == pytest.approx(_pairs(0, 0, 51).p_no_worse(0.05))


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_clip_more_that_is_lost_lets_nothing_pass_that_did_not(size: int) -> None:
    for patients in range(20, 200, 4):
        clips = patients * size
        found = [_pairs(0, lost, clips - lost, size).p_no_worse(0.05) <= 0.05 for lost in range(6)]
        assert found == sorted(found, reverse=True), patients


def test_clips_of_one_patient_count_for_less_where_they_are_lost_and_won_together() -> None:
    alone = PairedClips(
        np.tile([1.0, -1, 0, 0, 0, 0, 0, 0, 0, 0], 20), Clusters.of_groups(np.arange(200).astype(object))
    )
    gains = np.repeat(np.tile([1.0, -1, 0, 0, 0, 0, 0, 0, 0, 0], 5), 4)
    together = PairedClips(gains, Clusters.of_groups(np.repeat(np.arange(50), 4).astype(object)))
    assert together.p_no_worse(0.1) > 2 * alone.p_no_worse(0.1)


def _cohort(rng: np.random.Generator, patients: int, size: int, alike: float) -> PairedClips:
    """Losses of 5 %, no gain: the true difference is the margin. Clips copy their patient with a probability."""
    of_patient = np.repeat(rng.random(patients), size)
    drawn = np.where(rng.random(patients * size) < alike, of_patient, rng.random(patients * size))
    return PairedClips(-(drawn < 0.05).astype(float), Clusters.of_groups(np.repeat(np.arange(patients), size)))


@pytest.mark.parametrize(("patients", "size", "alike"), [(60, 1, 0), (70, 1, 0), (70, 2, 0.7), (150, 1, 0)])
def test_what_is_worse_by_the_margin_passes_as_rarely_as_the_level_says(patients: int, size: int, alike: float) -> None:
    rng = np.random.default_rng(1)
    passed = np.mean([_cohort(rng, patients, size, alike).p_no_worse(0.05) <= 0.05 for _ in range(1000)])
    assert passed <= 0.07  # benchmarks/simulated_cohorts.py: at most 0.06 of 20,000


def test_the_power_is_that_of_simulated_cohorts() -> None:
    rng = np.random.default_rng(2)
    differing, said, passed = 0.2, [], []
    for _ in range(400):
        gains = rng.choice([1.0, -1.0, 0.0], 200, p=[differing / 2, differing / 2, 1 - differing])
        pairs = PairedClips(gains, Clusters.of_groups(np.arange(200)))
        said.append(pairs.power(0.1, 0.05))
        passed.append(pairs.p_no_worse(0.1) <= 0.05)
    assert np.mean(said) == pytest.approx(np.mean(passed), abs=0.06)


def test_the_margin_that_a_cohort_could_have_shown_falls_with_its_clips_and_has_the_power_said() -> None:
    few, many = _pairs(5, 5, 50), _pairs(50, 50, 500)
    margin = many.shown_margin(0.05)
    assert many.power(margin, 0.05) >= 0.8 > many.power(margin - 0.005, 0.05)
    assert margin < 0.5 * few.shown_margin(0.05)
    assert many.power(0.05, 0.05, difference=0.05) > many.power(0.05, 0.05) > many.power(0.05, 0.05, difference=-0.05)
    assert many.power(0.05, 0.05, difference=-0.05) == pytest.approx(0.05, abs=0.01)


def test_one_patient_gives_no_interval_and_no_margin_no_knowledge_of_clips_that_are_alike() -> None:
    assert np.isnan(_pairs(1, 1, 2, size=4).interval(0.95).low)
    assert _pairs(0, 0, 9).p_no_worse(0.0) == 0.5


@pytest.mark.parametrize(("gained", "lost"), [(9, 0), (0, 9)])
def test_clips_that_all_differ_have_an_interval_up_to_one(gained: int, lost: int) -> None:
    found = _pairs(gained, lost, 0).interval(0.95)
    assert (found.high if gained else -found.low) == pytest.approx(1, abs=1e-6)
    assert 0 < (found.low if gained else -found.high) < 1
