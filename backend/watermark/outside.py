"""Methods that run on weights trained elsewhere. They have no code here; a page shows these words in their place."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Outside:
    """A published method that this project does not run.

    Args:
        name: as in its paper.
        paper: its address.
        package: what to install or clone.
        bits: the length of its message.
        needs: the weights and what else it takes, a full sentence.
        why: it is not here, a full sentence.
    """

    name: str
    paper: str
    package: str
    bits: int
    needs: str
    why: str


OUTSIDE = (
    Outside(
        "RivaGAN",
        "https://arxiv.org/abs/1909.01285",
        "invisible-watermark 0.2.0 with onnxruntime",
        32,
        "It needs an encoder of 0.7 MB and a decoder of 1.1 MB, which lie in the package, and pictures of at least 256 pixels a side.",
        "The networks were trained elsewhere, on clips of films, and run on onnxruntime, which the package does not even ask for.",
    ),
    Outside(
        "StegaStamp",
        "https://arxiv.org/abs/1904.05343",
        "https://github.com/tancik/StegaStamp",
        100,
        "It needs its authors' trained encoder and decoder, and TensorFlow 1, for pictures of 400 pixels a side.",
        "The weights are a separate download, and the TensorFlow they need does not run on a current Python.",
    ),
    Outside(
        "Stable Signature",
        "https://arxiv.org/abs/2303.15435",
        "https://github.com/facebookresearch/stable_signature",
        48,
        "It needs a trained extractor, and for every message a decoder of a latent diffusion model that is fine-tuned to carry it.",
        "The weights are a separate download, and models of pixels have no decoder to fine-tune.",
    ),
    Outside(
        "TrustMark",
        "https://arxiv.org/abs/2311.18297",
        "trustmark 0.9.2",
        100,
        "It needs an encoder and a decoder of 17 and 45 MB, which the package downloads from its maker's server at the first use.",
        "A copy without a connection has no weights, and none are shipped with this project.",
    ),
)
