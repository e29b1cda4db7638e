"""A search by the obvious script and by this project: same heads, same folds, same epochs, in one run.

    make bench        or        python benchmarks/search.py --trials 20 --epochs 8

The obvious script is one process with Optuna, `model.fit` for each fold and an MLflow run for each trial. This
project's search trains the same heads with its own loop, keeps them in a storage and logs what it always logs; nothing
is pruned or stopped early, so that both do the same work. It runs twice, with two seeds: that says how far two
trainings of one head lie apart by chance, to which the distance of the two ways is compared. All take turns, head by
head, so that a busy machine slows each alike.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import itertools

import keras
import mlflow
import numpy as np
import optuna
import pandas as pd

from features import matrix_rate
from lus.common import params_file
from lus.common.params import Search
from lus.features import featureset
from lus.features.featureset import FeatureSet, Info
from lus.heads import train_step, training
from lus.heads.model import PUBLISHED, HeadParams, build_head, feature_moments
from lus.search import identity, mlflow_runs, optimize, pruner, run_search, space, storage
from lus.splits import folds, protocols
from lus.splits.folds import Part
from lus.tracking import client

FOLDS, LENGTH, DIM = 5, 20, 2048
ALL = params_file.load_params(Path(__file__).parent.parent / "params.yaml")
RULE = protocols.make_protocol(ALL.folds)


def made_up(folder: Path, clips: int) -> FeatureSet:
    """Features of the shape of xception-20's, in which a label is a weak and slow change."""
    rng = np.random.default_rng(0)
    labels = np.arange(clips) % 3
    drift = np.linspace(-1, 1, LENGTH)[None, :, None] * (labels - 1)[:, None, None] * rng.normal(0, 0.12, DIM)
    table = pd.DataFrame(
        {
            "clip_id": [f"{number:064x}" for number in range(clips)],
            "path": [f"{number}.avi" for number in range(clips)],
            "label": [("a", "b", "c")[label] for label in labels],
            "patient": [f"p{number // 6}-{number % 3}" for number in range(clips)],
            "frames": 30,
        }
    )
    features = (rng.normal(0, 1, (clips, LENGTH, DIM)) + drift).astype(np.float32)
    folder.mkdir(parents=True)
    info = Info("xception", LENGTH, DIM, 299, 299, "random", "made up")
    np.save(folder / featureset.FEATURES_FILE, features)
    featureset.describe(folder, table, info)
    return FeatureSet(folder, features, table, info)


def draw(number: int, section: Search) -> list[HeadParams]:
    """Heads of the search space: the published one, and others drawn at random."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=section.seed))
    study.enqueue_trial(space.as_suggestion(PUBLISHED))
    return [space.suggest(study.ask(), section) for _ in range(number)]


OPTIMISERS = {
    "adam": lambda rate: keras.optimizers.Adam(rate, global_clipnorm=1.0),
    "rmsprop": lambda rate: keras.optimizers.RMSprop(rate, global_clipnorm=1.0),
    "sgd": lambda rate: keras.optimizers.SGD(rate, momentum=0.9, global_clipnorm=1.0),
}


def compiled(head: HeadParams, features: np.ndarray, labels: int) -> keras.Model:
    length, dim = features.shape[1:]
    model = build_head(head, length, dim, labels, *feature_moments(features))
    optimiser = OPTIMISERS[head.optimiser](head.learning_rate)
    model.compile(optimizer=optimiser, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def obvious(data: FeatureSet, part: Part, tried: list[HeadParams], section: Search) -> float:
    """The script that one would write, at the last of these heads; its loss."""
    features, targets = data.features, folds.targets(data.clips)
    labels = len(folds.label_names(data.clips))

    def objective(trial: optuna.Trial) -> float:
        head = space.suggest(trial, section)
        losses = []
        with mlflow.start_run(run_name=f"trial {trial.number}", nested=True):
            mlflow.log_params(head.to_dict())
            for number, inner in enumerate(part.inner):
                keras.utils.set_random_seed(section.seed + number)
                model = compiled(head, features[inner.train], labels)
                history = model.fit(
                    features[inner.train],
                    targets[inner.train],
                    batch_size=head.batch,
                    epochs=section.epochs,
                    validation_data=(features[inner.test], targets[inner.test]),
                    verbose=0,
                ).history
                for name, values in history.items():
                    for epoch, value in enumerate(values):
                        mlflow.log_metric(f"{name}.{number}", value, step=epoch)
                losses.append(min(history["val_loss"]))
            mlflow.log_metric("loss", float(np.mean(losses)))
        return float(np.mean(losses))

    database = f"sqlite:///{Path('plain.db').absolute()}"
    study = optuna.create_study(study_name="plain", storage=database, load_if_exists=True)
    study.enqueue_trial(space.as_suggestion(tried[-1]))
    with mlflow.start_run(run_name="obvious"):
        study.optimize(objective, n_trials=1)
    return float(study.trials[-1].value)


def ours(data: FeatureSet, part: Part, tried: list[HeadParams], section: Search) -> float:
    """This project's search of one part, which has tried all of these heads but the last; its loss."""
    name = identity.study_name(data, part, run_search.study_data(data, part), section, ())
    spec = optimize.StudySpec(name, part.name, optimize.Budget(len(tried)), section, ())
    run = mlflow_runs.open_search(name, data, part, section, RULE)
    study = storage.open_study(name)
    study.enqueue_trial(space.as_suggestion(tried[-1]))
    with mlflow_runs.activate_run(run):
        run_search.run_study(run_search.PartStudy(data, part, section, spec, run))
    return float(study.trials[-1].value)


def flop(head: HeadParams, clips: int, labels: int) -> float:
    """Of one epoch, there and back: the inputs need no gradient, so their product counts twice, others thrice."""
    width, sizes = 4 * head.units, [head.units, *head.dense, labels]
    steps = LENGTH * width * (2 * DIM + 3 * head.units)
    return 2.0 * clips * (steps + 3 * sum(one * two for one, two in itertools.pairwise(sizes)))


def epochs_of_published(data: FeatureSet, part: Part, labels: int, count: int = 6) -> tuple[float, float]:
    """Seconds of an epoch of the published head by `model.fit` and here, in turn; medians, the first left out."""
    rows = part.inner[0].train
    features, targets = data.features[rows], folds.targets(data.clips)[rows]
    model, head = compiled(PUBLISHED, features, labels), train_step.get_loop(PUBLISHED)
    head.start(training.init_weights(PUBLISHED, DIM, labels, 0))
    inputs = training.standardise(features, *feature_moments(features))
    ways: tuple[Callable[[], object], ...] = (
        lambda: model.fit(features, targets, batch_size=PUBLISHED.batch, epochs=1, verbose=0),
        lambda: head.epoch(PUBLISHED, inputs, targets, np.arange(len(targets)), 0),
    )
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(count):
        for way, took in zip(ways, seconds, strict=True):
            started = time.perf_counter()
            way()
            took.append(time.perf_counter() - started)
    return statistics.median(seconds[0][1:]), statistics.median(seconds[1][1:])


def compare(data: FeatureSet, trials: int, epochs: int) -> None:
    """Time both ways and compare what they found."""
    section = ALL.search.model_copy(update={"epochs": epochs, "patience": epochs, "trials": trials})
    rows = np.arange(len(data.clips))
    patients, targets = data.clips["patient"].to_numpy(), folds.targets(data.clips)
    names = folds.label_names(data.clips)
    part = Part("all", rows, rows[:0], tuple(folds.by_patient(targets, patients, FOLDS, 1, names)))
    tried = draw(trials, section)
    os.chdir(data.folder)
    client.connect()
    pruner.make_pruner = optuna.pruners.NopPruner
    ways = {"obvious": (obvious, 1), "first": (ours, 1), "second": (ours, 2)}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    worked = dict.fromkeys(ways, 0.0)
    found: dict[str, list[float]] = {name: [] for name in ways}
    for count in range(1, trials + 1):
        for name, (way, seed) in ways.items():
            started, busy = time.perf_counter(), time.process_time()
            found[name].append(way(data, part, tried[:count], section.model_copy(update={"seed": seed})))
            taken[name].append(time.perf_counter() - started)
            worked[name] += time.process_time() - busy
    took, losses = {name: sum(one) for name, one in taken.items()}, {name: np.array(one) for name, one in found.items()}
    fit, here = epochs_of_published(data, part, len(names))
    bound = flop(PUBLISHED, len(part.inner[0].train), len(names)) / matrix_rate() / 1e9
    print(f"{trials} trials x {FOLDS} folds x {epochs} epochs, {len(rows)} clips, {os.cpu_count()} cores")
    print(f"{'way':<30}{'seconds':>10}{'ratio':>8}{'of a core':>12}{'ratio':>8}")
    labels = ("Optuna, model.fit, MLflow", "this project, first seed", "this project, second seed")
    for name, label in zip(ways, labels, strict=True):
        wall, core = took["obvious"] / took[name], worked["obvious"] / worked[name]
        print(f"{label:<30}{took[name]:>10.0f}{wall:>8.2f}{worked[name]:>12.0f}{core:>8.2f}")
    apart, chance = np.abs(losses["obvious"] - losses["first"]), np.abs(losses["second"] - losses["first"])
    ratios = [plain / own for plain, own in zip(taken["obvious"], taken["first"], strict=True)]
    print(f"ratio of a trial, median: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"mean loss: obvious {losses['obvious'].mean():.4f}, here {losses['first'].mean():.4f}")
    print(f"a head's loss, distance between the ways: median {np.median(apart):.4f}, mean {apart.mean():.4f}")
    print(f"a head's loss, distance between two seeds here: median {np.median(chance):.4f}, mean {chance.mean():.4f}")
    print(f"an epoch of the published head: model.fit {fit:.3f} s, here {here:.3f} s; the arithmetic at the rate of a")
    print(f"large matrix product {bound:.3f} s, of which this is {bound / here:.0%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--clips", type=int, default=90)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as scratch:
        data = made_up(Path(scratch).resolve() / "xception-20", arguments.clips)
        compare(data, arguments.trials, arguments.epochs)


if __name__ == "__main__":
    main()
