"""What versions are shown as, on a real MLflow store."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

from lus.common import params_file
from lus.common.errors import BadInput
from lus.common.params import Package
from lus.heads.model import LINEAR, HeadParams
from lus.inference.metadata import ModelMetadata
from lus.registry import bento, journal, model_card, models, versions
from lus.registry.version_summary import VersionFacts, summarise_version
from lus.stages import package
from tests.conftest import ROOT
from tests.versions import LABELS, LEAK, NAME, add, predictions, write_evaluation

STRATA = [
    {"by": "source", "stratum": "a|b", "clips": 4, "patients": 4, "accuracy": 0.5, "low": 0.15, "high": 0.85}
    | {"brier": 0.5, "small": True, "sensitivity.normal": 1.0, "sensitivity.sick": None}
    | {f"sensitivity.{label}.{end}": None for label in LABELS for end in ("low", "high")}
]


def test_versions_are_listed_with_aliases_as_they_are_now_the_newest_first(project: Path) -> None:
    add()
    add()
    client = MlflowClient()
    client.set_registered_model_alias(NAME, "champion", "1")
    rows = versions.listed(NAME)
    assert [(one.version, one.aliases) for one in rows] == [("2", ["challenger"]), ("1", ["champion"])]
    client.set_registered_model_alias(NAME, "champion", "2")
    assert [one.aliases for one in versions.listed(NAME)] == [["champion", "challenger"], []]
    assert rows[0].lineage != rows[1].lineage
    assert rows[0].age in ("now", "1 minute")


def test_a_version_is_found_by_number_alias_or_lineage_id_and_shows_what_it_comes_from(project: Path) -> None:
    (project / "dvc.lock").write_text(
        yaml.safe_dump({"stages": {"cohort": {"outs": [{"path": "build/cohort.csv", "md5": "0f" * 16}]}}})
    )
    add(findings=[LEAK])
    add(wrong=3)
    (identity,) = [one.lineage for one in versions.listed(NAME) if one.version == "1"]
    for what in ("1", identity, identity[:6]):
        shown = versions.lineage(NAME, what)
        assert shown.row.version == "1"
    assert str(versions.resolve_version(NAME, "challenger").version) == "2"
    assert shown.metrics is not None
    assert shown.metrics["accuracy"] == pytest.approx(50 / 60)
    assert shown.audit is not None
    assert shown.audit["findings"] == [LEAK]
    assert shown.params == yaml.safe_load((project / "params.yaml").read_text())
    assert shown.stages == {"build/cohort.csv": "0f" * 16}
    assert {"git_commit", "git_clean", "machine", "python"} <= set(shown.tags)
    assert MlflowClient().get_run(shown.run_id).data.tags["lus.kind"] == "evaluation"
    for wrong in ("abcd", "champion", "no"):
        with pytest.raises(BadInput, match=f"{wrong} is no version of {NAME}"):
            versions.resolve_version(NAME, wrong)


def test_a_lineage_id_that_fits_several_versions_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add()
    add()
    monkeypatch.setattr(models, "lineage_id", lambda _: "abcdef123456")
    with pytest.raises(BadInput, match="abcdef fits 2 versions"):
        versions.resolve_version(NAME, "abcdef")


def test_a_lineage_id_of_digits_alone_is_no_number(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add()
    monkeypatch.setattr(models, "lineage_id", lambda _: "151577abcdef")
    assert str(versions.resolve_version(NAME, "151577").version) == "1"
    with pytest.raises(BadInput, match=f"{NAME} has no version 151578; it has 1"):
        versions.resolve_version(NAME, "151578")


def test_what_was_made_of_a_version_is_part_of_its_lineage(project: Path) -> None:
    add()
    run_id = journal.journal_run(NAME)
    act = journal.claim(
        run_id, journal.AliasChange("promotion", "1", None, None, "one@here", journal.now(), why="first")
    )
    journal.end(run_id, act, journal.DONE)
    assert [str(one).endswith("first") for one in versions.lineage(NAME, "1").acts] == [True]


def _facts(tmp_path: Path, weights: str = "random", source: str = "a|b", audit: bool = True) -> VersionFacts:
    folder = write_evaluation(tmp_path, predictions(wrong=10), [LEAK])
    metrics, found = (json.loads((folder / name).read_text()) for name in ("metrics.json", "audit.json"))
    clips = predictions(0).assign(source=source, licence="", probe="convex")
    gaps = {
        "source": (-0.1, -0.2, -0.01),
        "container": (-0.05, -0.15, 0.05),
        "majority": (0.2, 0.1, 0.3),
        "frame-mean": (0.0, None, None),
    }
    ways = {"model": {"what": "the chosen head", "accuracy": 0.75}} | {
        name: {"what": f"by {name}", "accuracy": 0.75 - gap[0]}
        | {"model_better_by": dict(zip(("difference", "low", "high"), gap, strict=True))}
        for name, gap in gaps.items()
    }
    return VersionFacts(weights, LABELS, clips, metrics, {"ways": ways}, found if audit else None)


def test_the_card_is_made_of_facts_and_says_what_it_is_not_for(tmp_path: Path) -> None:
    limits = params_file.load_params(ROOT / "params.yaml").limits
    metadata = ModelMetadata(LABELS, 2, 32, limits, "xception-2", {"git_commit": "abc"})
    text = model_card.write(metadata, LINEAR, _facts(tmp_path), STRATA)
    assert "research. It is not for diagnosis" in text
    assert (
        text.index("the CNN was never trained") < text.index("| sick | 20 | 20 |") < text.index("| git commit | abc |")
    )
    assert "| a\\|b | 40 |" in text
    assert "| not stated | 40 |" in text
    assert "| accuracy | 0.750 (0.650 to 0.850) |" in text
    assert "**The metrics leak:** see the audit." in text
    assert "- leak (patients): 3 patients are on both sides." in text
    assert "| min side | 100 |" in text
    assert "its features through the head: mean of frames, linear." in text
    assert "| source | a\\|b | 4 | 4 | 0.500 (0.150 to 0.850) | 1.000 |  | few patients |" in text
    bare = ModelMetadata(LABELS, 2, 32, limits, "x-2", {})
    assert "There is none." in model_card.write(bare, HeadParams(), _facts(tmp_path, audit=False), [])


def test_a_summary_says_which_baseline_wins_and_what_was_never_tested(tmp_path: Path) -> None:
    said = summarise_version(_facts(tmp_path), [])
    assert said["baselines"] == (
        "A baseline wins: by source (0.850, better by 0.100 (0.010 to 0.200)). Ahead of the model, within chance: by "
        "container (0.800, better by 0.050 (-0.050 to 0.150)). Not told from the model beyond chance: "
        "by frame-mean (0.750). The model is better than: by majority (0.550)."
    )
    assert said["unseen sources"].startswith("not looked at")
    assert said["other cohorts"].startswith("never validated")
    assert "labels other than normal, sick; probes other than convex" in said["not tested on"]
    bare = replace(_facts(tmp_path), clips=None, details=None)
    assert summarise_version(bare)["not tested on"].endswith("The probes and sources of its clips are not stated")
    assert summarise_version(bare)["baselines"] == "none is compared"
    found = {"check": "sources", "level": "warning", "sentence": "Right in 30%.", "evidence": {}}
    facts = replace(_facts(tmp_path), audit={"findings": [found], "passed": [], "unknown": []})
    assert summarise_version(facts)["unseen sources"] == "Right in 30%."


def test_a_summary_knows_simulated_clips_by_device_and_name(tmp_path: Path) -> None:
    facts = _facts(tmp_path, "imagenet", source="device-a")
    assert facts.clips is not None
    assert "none of them simulated" in summarise_version(facts)["clips"]  # a source may be called so anywhere
    phantom = facts.clips.assign(path=[f"phantom/p{number}-c1.avi" for number in range(40)])
    assert summarise_version(replace(facts, clips=phantom))["clips"].startswith("simulated: all 40")
    phantom.loc[0, "source"] = "hospital"
    assert summarise_version(replace(facts, clips=phantom))["clips"].startswith("39 of 40 clips are simulated")


def test_a_bento_holds_the_version_of_the_alias_it_is_given(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add()
    add()
    MlflowClient().set_registered_model_alias(NAME, "previous", "1")
    out = project / "build/package.json"
    built = []
    monkeypatch.setattr(bento, "_build_bentofile", lambda tag, labels: built.append((tag, labels)))
    package.run(NAME, project / "served", out, Package(name="bento", alias="previous", engine="openvino"))
    package.run(NAME, project / "served", out, Package(name="bento", alias=None, engine="openvino"))
    assert [(tag[:8], one["version"], one["alias"]) for tag, one in built] == [
        ("bento:v1", "1", "previous"),
        ("bento:v2", "2", "challenger"),
    ]
    assert built[0][1]["lineage"] == models.lineage_id(models.get_version(NAME, "1"))
    with pytest.raises(BadInput, match=f"{NAME} has no champion; `lus promote` makes the challenger the champion"):
        package.run(NAME, project / "served", out, Package(name="bento", alias="champion", engine="openvino"))


def test_to_look_at_a_model_of_other_hands_writes_nothing(project: Path) -> None:
    add()
    MlflowClient().delete_registered_model_tag(NAME, journal.TAG)
    assert list(versions.lineage(NAME, "1").acts) == []
    assert journal.TAG not in MlflowClient().get_registered_model(NAME).tags


def test_nothing_registered_yet_is_said(project: Path) -> None:
    for look in (lambda: versions.listed(NAME), lambda: versions.lineage(NAME, "champion")):
        with pytest.raises(BadInput, match=f"{NAME} has no version yet; `dvc repro register` registers a challenger"):
            look()
