"""The methods of answering that an evaluation compares: the model, and what it is to be better than."""

MODEL = "model"
"""The classifier that is evaluated; the other methods are there to be compared with it."""
METHODS = {
    MODEL: "the chosen head",
    "model-shuffled-test": "the same head, frames of the test clips shuffled",
    "model-shuffled": "the head trained and tested on shuffled frames",
    "frame-mean": "single frames, linear, probabilities averaged",
    "frame-vote": "single frames, linear, majority vote",
    "averaged-features": "mean features of a clip, linear",
    "source": "the source alone",
    "container": "the file's container alone",
    "majority": "the most frequent label",
}
"""Every method of answering, and what it is."""
SPATIAL = ("frame-mean", "frame-vote", "averaged-features")
"""The linear classifiers that see the frames but not their order."""
