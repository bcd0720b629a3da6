"""What may be said of a score: one sentence on what is shown, and one on what is not."""

ALPHA = 1e-3  # what every test must reach
PROOF = (
    "It shows that somebody with this key marked this picture, or one that it was made from, not who made the picture: from a single marked "
    "picture a mark can be forged."
)
NO_PROOF = "It does not show that there is no mark: it may be another key's, or too weak after what was done to the picture."


def verdict(fingerprint: str, analytic: float, keys: float, pictures: float | None, undone: str) -> str:
    """Two or three sentences. analytic, keys, pictures: the three p values, the last None without
    a calibration that can reach ALPHA, which takes 999 pictures; undone: words for what had to be
    undone to find it, "" for nothing."""
    known = {"a random key": analytic, "other keys on this picture": keys}
    if pictures is not None:
        known["unmarked pictures under this key"] = pictures
    after = f", after undoing {undone}" if undone else ""
    found = {name: p <= ALPHA for name, p in known.items()}
    if all(found.values()):
        least = max(known.values())
        return f"This picture carries the mark of key {fingerprint}{after} (p at most {least:.1g} by each test). {PROOF}"
    if any(found.values()):
        doubtful = " and ".join(name for name, holds in found.items() if not holds)
        return f"The tests disagree about key {fingerprint}: it does not stand out from {doubtful}. Take it as unproved. {NO_PROOF}"
    return f"There is no evidence of key {fingerprint} (p = {min(known.values()):.2g} at best). {NO_PROOF}"
