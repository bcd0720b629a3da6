import pytest
import torch

from backend.experiments.spectrum_process import WatchProcess
from backend.inference.load import load
from backend.inference.pictures import Sample, open_picture
from backend.inference.run import run
from backend.jobs import result_file
from backend.request import BadInput, Failed, Progress, finish
from backend.sampling import ancestral, ddim, last
from backend.sampling.noise import noise
from backend.sampling.times import grid

GAUSSIAN = {"model": "gaussian", "image": "gallery:3", "steps": 12}
HALF = {"rtol": 1e-3, "atol": 1e-3}  # what float16 keeps


def result(request):
    *_, found = run(request)
    assert not isinstance(found, Failed)
    return found


def test_forward_is_one_noise_at_every_time_and_its_mean_is_the_denoisers():
    found, model = result(WatchProcess(**GAUSSIAN)), load("gaussian")
    x_0 = finish(open_picture("gallery:3", model)).x_0
    assert found.forward.shape == (13, 1, 8, 8)
    torch.testing.assert_close(found.t, torch.linspace(1, 0, 13))
    for i, t in enumerate(found.t[:-1].double()):
        alpha, sigma = (float(a) for a in model.denoiser.schedule(t))
        x_t = alpha * x_0 + sigma * noise([0], x_0.shape)[0]
        mean = model.denoiser(x_t, t)
        torch.testing.assert_close(found.forward[i].float(), x_t, **HALF)
        torch.testing.assert_close(found.forward_mean[i].float(), mean, **HALF)
        assert float(found.forward_error[i]) == pytest.approx(
            float((mean - x_0).square().mean() ** 0.5), 1e-4
        )
        assert float(found.noise_level[i]) == pytest.approx(sigma / alpha, 1e-4)
    assert torch.equal(found.forward[-1], x_0.half()) and torch.equal(found.forward_mean[-1], x_0.half())
    assert found.forward_error[-1] == found.noise_level[-1] == 0


def test_ode_and_sde_are_the_solvers_from_one_start():
    found, D = result(WatchProcess(**GAUSSIAN, seed=5)), load("gaussian").denoiser
    x, times = noise([5], D.shape), grid(D.schedule, 1.0, 0.0, 12)
    torch.testing.assert_close(found.ode[-1:].float(), last(ddim.solve(D, x, times)), **HALF)
    torch.testing.assert_close(found.sde[-1:].float(), last(ancestral.solve(D, x, times, [5])), **HALF)
    for xs, means in ((found.ode, found.ode_mean), (found.sde, found.sde_mean)):
        torch.testing.assert_close(xs[:1].float(), x, **HALF)
        torch.testing.assert_close(means[3].float(), D(xs[3].float(), times[3]), rtol=5e-3, atol=5e-3)
        assert torch.equal(means[-1], xs[-1]) and torch.equal(means[-2], xs[-1])
        assert len(xs) == len(means) == found.evaluations + 1 == 13
    assert found.ode_seconds > 0 and found.sde_seconds > 0


def test_the_sde_belongs_to_its_seed():
    first, again, other = (result(WatchProcess(**GAUSSIAN, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(first.sde, again.sde)
    assert (first.sde[-1] - other.sde[-1]).abs().max() > 0.1
    assert (first.sde[-1] - first.ode[-1]).abs().max() > 0.1


def test_a_face_is_made_under_its_label_and_every_evaluation_is_told():
    *told, found = run(WatchProcess(image="sample:7:sad", steps=2))
    model = load("avatars")
    label = model.condition(label="sad")["label"]
    assert found.label == "sad"
    torch.testing.assert_close(
        found.ode_mean[:1].float(), model.denoiser(noise([0], (3, 64, 64)), 1.0, label=label), **HALF
    )
    assert [p.done for p in told if isinstance(p, Progress) and p.total == 6] == [2, 3, 4, 5, 6]
    assert WatchProcess(image="sample:7:sad").needs() == (Sample(seed=7, label="sad"),)


def test_the_default_is_small_enough_to_ship(tmp_path):
    request = WatchProcess(**GAUSSIAN)
    found = result(request)
    pictures = 6 * 13 * 64 * 2
    assert result_file.size(found) < pictures + 2_000
    result_file.save(tmp_path, request, found)
    assert torch.equal(result_file.load(tmp_path, request).sde, found.sde)


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 1}, {"steps": 101}, {"seed": -1}, {"seed": 2**31}, {"image": "sample:x"}, {"model": ""}],
)
def test_bad_input_is_a_sentence(wrong):
    with pytest.raises(BadInput, match=r"\.$"):
        request = WatchProcess(**GAUSSIAN | wrong)
        request.needs()
        run(request)
