"""What decoding with PyAV costs beside OpenCV, and whether both give the same frames.

python benchmarks/decoders.py FOLDER
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np

from lus.checks import survey
from lus.clips import video


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="clips")
    paths = [path.absolute() for path in survey.find_clips([parser.parse_args().folder])]
    seconds, frames, same = [0.0, 0.0], 0, 0
    for path in paths:
        with video.open_video(os.fspath(path), video.FORMATS) as ours:
            capture = cv2.VideoCapture(os.fspath(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
            equal = True
            while True:
                begun = time.process_time()
                there, frame = ours.read()
                between = time.process_time()
                also, other = capture.read()
                seconds[0] += between - begun
                seconds[1] += time.process_time() - between
                if not there or not also:
                    equal &= there == also
                    break
                frames += 1
                equal &= np.array_equal(frame, other)
            same += equal
    print(f"{len(paths)} clips, {frames} frames; {same} clips with the same frames from both")
    print(f"PyAV {seconds[0]:.2f} s, OpenCV {seconds[1]:.2f} s of CPU time; {seconds[0] / seconds[1]:.2f}")


if __name__ == "__main__":
    main()
