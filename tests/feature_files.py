"""Feature sets as the tests write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lus.features import featureset
from lus.features.featureset import Info


def write_features(folder: Path, features: np.ndarray, clips: pd.DataFrame, info: Info) -> None:
    """Write a feature set but for its weights file."""
    np.save(folder / featureset.FEATURES_FILE, features)
    featureset.describe(folder, clips, info)
