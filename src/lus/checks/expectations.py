"""The rules as Great Expectations suites, their results, and the Data Docs that a person reads."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from lus.checks import datadocs
from lus.checks.rules import Rule
from lus.common.errors import BadInput
from lus.common.params import Cohort, Limits

CRITICAL, WARNING, INFO = "critical", "warning", "info"
"""What a broken expectation does: stops the pipeline, quarantines clips, or is reported."""
RUN_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""Of every validation, as it stands in the paths of the pages: the same clips give the same files."""


def cohort_table(clips: pd.DataFrame) -> pd.DataFrame:
    """The cohort table with what its suite looks at: pixels of a frame, labels of a patient, patients of a label."""
    by_patient, by_label = clips.groupby("patient")["label"], clips.groupby("label")["patient"]
    return clips.assign(
        pixels=clips["width"] * clips["height"],
        labels_of_patient=by_patient.transform("nunique"),
        patients_of_label=by_label.transform("nunique"),
    )


def _cohort_suite(params: Cohort, limits: Limits, length: int) -> list[Any]:
    from great_expectations import expectations as gxe

    between, unique = gxe.ExpectColumnValuesToBeBetween, gxe.ExpectColumnValuesToBeUnique
    present = [
        gxe.ExpectColumnValuesToNotBeNull(column=name, severity=CRITICAL, description=f"every clip has a {name}")
        for name in ("path", "label", "patient")
    ]
    known = [
        gxe.ExpectColumnValuesToBeInSet(
            column="label",
            value_set=list(params.labels),
            severity=CRITICAL,
            description=f"each label is one of {', '.join(params.labels)}",
        )
    ]
    return [
        *present,
        *(known if params.labels else []),
        unique(column="path", severity=CRITICAL, description="no clip stands there twice"),
        unique(column="clip_id", severity=CRITICAL, description="no clip's content stands there twice"),
        gxe.ExpectColumnValueLengthsToEqual(
            column="clip_id", value=64, severity=CRITICAL, description="each clip's name by its content is a SHA-256"
        ),
        gxe.ExpectColumnUniqueValueCountToBeBetween(
            column="label", min_value=2, severity=CRITICAL, description="there are two labels or more"
        ),
        between(
            column="patients_of_label",
            min_value=params.min_patients,
            severity=CRITICAL,
            description=f"each label has clips of {params.min_patients} patients or more",
        ),
        between(column="labels_of_patient", max_value=1, severity=INFO, description="no patient has two labels"),
        *(
            between(
                column=name,
                min_value=low,
                max_value=high,
                severity=WARNING,
                description=f"{meaning} is at least {low}" + ("" if high is None else f" and at most {high}"),
            )
            for name, low, high, meaning in (
                ("frames", length, limits.max_frames, "the number of frames in the table"),
                ("width", limits.min_side, None, "the width in pixels"),
                ("height", limits.min_side, None, "the height in pixels"),
                ("pixels", limits.min_side**2, limits.max_pixels, "the number of pixels of a frame"),
                ("fps", 0, limits.max_fps, "the declared number of frames a second"),
            )
        ),
    ]


def _clip_suite(table: Sequence[Rule]) -> list[Any]:
    from great_expectations import expectations as gxe

    found = []
    for rule in table:
        severity = INFO if rule.reports else WARNING
        # A clip that could not be read has no numbers, and what is not there breaks no limit: why it could not
        # be read stands in the quarantine.
        measured = f"could be measured: {rule.meaning}"
        found.append(gxe.ExpectColumnValuesToNotBeNull(column=rule.column, severity=INFO, description=measured))
        found.append(
            gxe.ExpectColumnValuesToBeBetween(
                column=rule.column,
                min_value=rule.low,
                max_value=rule.high,
                severity=severity,
                description=f"{rule.meaning} is {rule.between}",
                notes=rule.advice + (f", or, where it is too high, {rule.advice_high}" if rule.advice_high else ""),
            )
        )
    return found


def _frame_suite(limits: Limits) -> list[Any]:
    from great_expectations import expectations as gxe

    bounds = {
        "brightness": (limits.min_brightness, limits.max_brightness),
        "contrast": (limits.min_contrast, None),
        "black_share": (0, 1),
        "sharpness": (limits.min_sharpness, None),
        "saturation": (0, limits.max_saturation),
        "colour": (0, limits.max_colour),
        "change": (0, 1),
    }
    # A single frame may lie outside what its clip must keep to on average.
    return [
        expectation
        for name, (low, high) in bounds.items()
        for expectation in (
            gxe.ExpectColumnValuesToNotBeNull(
                column=name, severity=INFO, description=f"every frame has a number for {name}"
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column=name,
                min_value=low,
                max_value=high,
                severity=INFO,
                description=f"{name} of each frame is at least {low}"
                + ("" if high is None else f" and at most {high}"),
            ),
        )
    ]


def validate(
    clips: pd.DataFrame,
    values: pd.DataFrame,
    frames: pd.DataFrame,
    table: Sequence[Rule],
    cohort: Cohort,
    limits: Limits,
    docs: Path,
) -> dict[str, Any]:
    """State the rules to Great Expectations and write its Data Docs.

    Args:
        clips: the cohort table.
        values: `measures.measure_clip`, a row a clip, with its path in a column `path`.
        frames: `measures.measure_frames`, a row a frame, with columns `path` and `frame`.
        table: the rules for a clip.
        cohort: what the cohort must be.
        limits: of a usable clip.
        docs: the folder for the HTML pages; made if missing.

    Returns:
        For each suite ("cohort", "clips", and "frames" where a clip could be read): whether it held, and each
        expectation with its arguments, severity, whether it held, how many rows broke it and the paths of the
        first 20 of them.
    """
    length = int(next(rule.low or 0 for rule in table if rule.column == "frames"))
    tables = {
        "cohort": (cohort_table(clips), _cohort_suite(cohort, limits, length)),
        "clips": (values, _clip_suite(table)),
        "frames": (frames, _frame_suite(limits)),
    }
    import great_expectations as gx
    from great_expectations.core.run_identifier import RunIdentifier

    context = _context(docs)
    source = context.data_sources.add_pandas("lus")
    results = {}
    for name, (rows, expectations) in tables.items():
        if rows.empty:
            continue
        batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
        suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
        definition = gx.ValidationDefinition(name=name, data=batch, suite=suite)
        result = context.validation_definitions.add(definition).run(
            batch_parameters={"dataframe": rows.reset_index(drop=True)},
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["path"]},
            run_id=RunIdentifier(run_name="checks", run_time=RUN_TIME),
        )
        results[name] = _plain(result)
    context.build_data_docs()
    # It logs what keeps it from writing a page, and goes on; the first page is empty then.
    written = {page.parts[-4] for page in (docs / "validations").rglob("*.html")}
    if written != set(results) or not (docs / "index.html").stat().st_size:
        raise RuntimeError(f"Great Expectations could not write the pages of its results in {docs}")
    # Fonts and pictures of Great Expectations' own pages, which ours do without.
    shutil.rmtree(docs / "static")
    return results


def refuse_broken_table(results: dict[str, Any], docs: Path) -> None:
    """Refuse a cohort table that breaks what it must keep.

    Args:
        results: of `validate`.
        docs: the folder of its pages.

    Raises:
        BadInput: it does; the columns are named.
    """
    failed = [
        f"{one['arguments'].get('column')} ({one['expectation']})"
        for one in results["cohort"]["expectations"]
        if not one["success"] and one["severity"] == CRITICAL
    ]
    if failed:
        raise BadInput(
            f"the cohort table breaks {', '.join(failed)}; see {docs / 'index.html'}, make it with `lus cohort`"
        )


def _context(docs: Path) -> Any:
    """A context that lives in memory and writes its pages, and nothing else, into a folder."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    for name in list(context.get_site_names()):
        context.delete_data_docs_site(name)
    context.add_data_docs_site("data_docs", datadocs.site(str(docs.absolute())))
    return context


def _plain(result: Any) -> dict[str, Any]:
    shown = ("column", "min_value", "max_value", "value", "value_set")
    return {
        "success": bool(result.success),
        "expectations": [
            {
                "expectation": one.expectation_config.type,
                "arguments": {k: v for k, v in one.expectation_config.kwargs.items() if k in shown and v is not None},
                "severity": str(one.expectation_config.severity.value),
                "success": bool(one.success),
                "unexpected": int(one.result.get("unexpected_count") or 0),
                "paths": _paths(one.result),
            }
            for one in result.results
        ],
    }


def _paths(result: dict[str, Any]) -> list[str]:
    rows = result.get("unexpected_index_list") or []
    return list(dict.fromkeys(str(row["path"]) for row in rows))[:20]
