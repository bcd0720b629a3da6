"""Runs the request of a link without a browser: `python -m backend.experiments "v=1&do=EditAll&k=3" --save FOLDER`.

Without --save the result is only computed and described; with `--save assets/runs` it ships with the project.
"""

import argparse
import shutil
import sys
from pathlib import Path

from backend.experiments import (  # noqa: F401  what a link can name
    edit_compare,
    edit_linearity,
    edit_preview,
    edit_set,
    edit_transfer,
    guidance_dimension,
    guidance_mixture,
    guidance_strip,
    guidance_theory,
    guidance_weight,
    guide,
    guide_compare,
    guide_film,
    guide_jacobian,
    guide_linearity,
    guide_patterns,
    spectrum_bias,
    spectrum_dimension,
    spectrum_process,
    spectrum_slide,
    spectrum_survey,
    spectrum_theory,
    watermark,
    watermark_identify,
    watermark_rates,
    watermark_red_team,
    watermark_trade,
    watermark_verify,
)
from backend.inference.cache import weights_of
from backend.inference.run import run
from backend.jobs import result_file
from backend.request import BadInput, Failed, Progress, Request


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m backend.experiments", description=__doc__)
    parser.add_argument("link", help="the part of a link after its question mark")
    parser.add_argument("--save", type=Path, help="folder of runs")
    chosen = parser.parse_args(arguments)
    try:
        request = Request.from_query(chosen.link)
        if chosen.save:
            shutil.rmtree(chosen.save / request.key(), ignore_errors=True)  # computed anew, not found
        for event in run(request):
            if isinstance(event, Progress):
                print(f"\r{event.done} of {event.total} {event.what}    ", end="", file=sys.stderr)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    if isinstance(event, Failed):
        print(event.sentence, file=sys.stderr)
        return 1
    if chosen.save:
        result_file.save(chosen.save / request.key(), request, event, weights_of(request))
    print(request.key())
    return 0


if __name__ == "__main__":
    sys.exit(main())
