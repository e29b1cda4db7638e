"""The page of a study: its plots, to be looked at in a browser."""

from __future__ import annotations

import warnings
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import optuna


def draw_study_page(study: optuna.Study, title: str, path: Path) -> None:
    """Draw how a study went: history, importance of the parameters, parallel coordinates, slices.

    All in one page that needs no network: the script that draws them is 4.5 MB and stands in it once, where four pages
    would hold it four times, and MLflow shows a page by itself, so that none could borrow it from another.

    Args:
        study: with one finished trial at least.
        title: above the plots.
        path: an .html file.
    """
    from optuna import visualization

    done = [one for one in study.get_trials(deepcopy=False) if one.state.name == "COMPLETE"]
    drawn = {
        "How it went": visualization.plot_optimization_history(study),
        "Loss by parameter": visualization.plot_slice(study),
        "All parameters": visualization.plot_parallel_coordinate(study),
    }
    if len({one.value for one in done}) > 1:
        # Of one value no parameter can be the cause.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that few trials make it inexact; so it says below the plot
            drawn["Importance of the parameters"] = visualization.plot_param_importances(study)
    parts = [f"<!doctype html><meta charset='utf-8'><title>{escape(title)}</title><h1>{escape(title)}</h1>"]
    for number, (name, figure) in enumerate(drawn.items()):
        figure.update_layout(title=name)
        parts.append(figure.to_html(full_html=False, include_plotlyjs="inline" if number == 0 else False))
    parts.append(f"<p>{len(done)} finished trials; the fewer, the less exact is the importance.</p>")
    path.write_text("\n".join(parts), encoding="utf-8")
