from dataclasses import fields

from backend.watermark.outside import OUTSIDE


def test_every_slot_says_in_sentences_what_it_lacks():
    assert [slot.name for slot in OUTSIDE] == ["RivaGAN", "StegaStamp", "Stable Signature", "TrustMark"]
    for slot in OUTSIDE:
        assert all(getattr(slot, field.name) for field in fields(slot))
        assert slot.paper.startswith("https://arxiv.org/abs/")
        for sentence in (slot.needs, slot.why):
            assert sentence[0].isupper() and sentence.endswith(".") and ". " not in sentence
