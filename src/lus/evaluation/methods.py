"""The methods of answering that an evaluation compares: the model, and what it is to be better than."""

MODEL = "lstm"
"""The classifier that is evaluated; the other methods are there to be compared with it."""
METHODS = {
    MODEL: "the chosen LSTM",
    "lstm-shuffled-test": "the same LSTM, frames of the test clips shuffled",
    "lstm-shuffled": "an LSTM trained and tested on shuffled frames",
    "frame-mean": "single frames, linear, probabilities averaged",
    "frame-vote": "single frames, linear, majority vote",
    "averaged-features": "mean features of a clip, linear",
    "source": "the source alone",
    "container": "the file's container alone",
    "majority": "the most frequent label",
}
"""Every method of answering, and what it is."""
SPATIAL = ("frame-mean", "frame-vote", "averaged-features")
"""Those that see the frames but not their order, and are no LSTM."""
