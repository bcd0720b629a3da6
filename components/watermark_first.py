"""What the watermark tab opens with, shipped: a marked face, its verdict and the red team's. `python -m components.watermark_first` makes them again.

The passphrase is a demonstration and no secret, which is why a run with it can ship. The marked face is a file of its own, since its reference is
the hash of the file and another version of the PNG library might write other bytes.
"""

import shutil

from backend.experiments.watermark import EmbedWatermark
from backend.experiments.watermark_red_team import RedTeam
from backend.experiments.watermark_verify import VerifyWatermark
from backend.inference import intake
from backend.inference.cache import weights_of
from backend.inference.catalogue import ASSETS
from backend.inference.run import run
from backend.jobs import result_file
from backend.request import Request
from components.pictures import png

DEMO = "correct horse battery staple"
MARKED = ASSETS / "examples" / "marked_face.png"
EMBED = EmbedWatermark(passphrase=DEMO)
RED_TEAM = RedTeam(passphrase=DEMO)


def reference() -> str:
    """Of the marked face, held from now on."""
    return intake.keep(MARKED.read_bytes())


def verify() -> VerifyWatermark:
    """The verdict on it."""
    return VerifyWatermark(passphrase=DEMO, image=reference())


def main() -> None:
    _make(EMBED, lambda embedded: MARKED.write_bytes(png(embedded.marked)))
    _make(verify(), lambda verified: print(verified.sentence))
    _make(RED_TEAM, lambda found: print(found.one_key.removed["originals"].z[-1]))


def _make(request: Request, then) -> None:
    folder = ASSETS / "runs" / request.key()
    shutil.rmtree(folder, ignore_errors=True)  # computed anew, not found
    *_, result = run(request)
    result_file.save(folder, request, result, weights_of(request))
    then(result)


if __name__ == "__main__":
    main()
