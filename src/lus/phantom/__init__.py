"""The phantom cohort: a small physical simulation of lung ultrasound with a convex probe.

It stands in for clinical clips on a machine that has none. Its images are made the way a scanner makes
them: scatterers on the beams of a convex probe, a depth-dependent point-spread function, envelope, log
compression, scan conversion (`scan`); a chest wall with its layers and ribs, a lung with its artefacts
(`tissue`); breathing, heart and hand (`patient`); put together frame by frame (`clip`) and written as video
files (`cohort`).

What each profile shows follows the BLUE protocol (Lichtenstein & Meziere 2008, Chest 134:117) and the
international consensus (Volpicelli et al. 2012, Intensive Care Med. 38:577). The "-still" profiles differ
from their twins in the slide of the lung alone. No claim about patients follows from a number reached on it.
"""

from __future__ import annotations

from lus.phantom.clip import simulate_clip
from lus.phantom.cohort import plan_patients, simulate_cohort
from lus.phantom.examples import CALIBRATION_TIMES, draw_example_clips, draw_examples
from lus.phantom.patient import DEVICES, Device, Patient, draw_patient

__all__ = [
    "CALIBRATION_TIMES",
    "DEVICES",
    "Device",
    "Patient",
    "draw_example_clips",
    "draw_examples",
    "draw_patient",
    "plan_patients",
    "simulate_clip",
    "simulate_cohort",
]
