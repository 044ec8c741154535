"""The service, which gives up on what does not advance after seconds instead of minutes.

Its segmentation hangs while a file says so: `python impatient_service.py MOOD CONFIG`.
"""

import sys
import time
from pathlib import Path

from temwatch import config
from temwatch.analysis.segmentation import classical
from temwatch.daemon import service
from temwatch.domain import Segmenter
from temwatch.engine import hang


def main():
    mood = Path(sys.argv[1])
    hang.LOOK_SECONDS, hang.TELL_SECONDS, hang.HANG_SECONDS = 0.5, 2.0, 6.0

    def build(settings, _):
        well = classical.build(settings).segment

        def segment(images):
            if mood.read_text() == "hung":
                time.sleep(1e6)
            return well(images)

        return Segmenter(name="threshold", segment=segment)

    service.run(config.load(Path(sys.argv[2])), build=build)


if __name__ == "__main__":
    main()
