"""The references' own numbers, which are known, and a tiny training run."""

import pytest
import torch

from backend.data import digits
from backend.experiments.spectrum_bias import TrainStudents, measure, probe_at, references
from backend.inference.run import run
from backend.jacobian.linearity import linearity
from backend.jacobian.spectrum import CUTS, effective_rank, rank
from backend.jobs import result_file
from backend.request import BadInput, Progress, Request, finish
from backend.schedule import from_scheduler_config
from backend.training.recipes import SCHEDULER
from backend.training.students import log_spaced, subsets

TINY = {"widths": (4,), "sizes": (3, 1197), "steps": 12, "pictures": 2, "times": (0.3, 0.9)}
SCHEDULE = from_scheduler_config(SCHEDULER)


@pytest.fixture(scope="module")
def events():
    return list(run(TrainStudents.parse(TINY)))


@pytest.fixture(scope="module")
def bias(events):
    return events[-1]


def probe(t=0.5, sizes=(3, 1197), n=2):
    data = subsets(sizes)
    known = references(data, SCHEDULE)
    return data, known, probe_at(t, data, SCHEDULE, known, n)


def test_there_is_progress_after_every_step_and_row_and_it_ends_at_its_total(events):
    *progress, _ = events
    assert all(isinstance(event, Progress) for event in progress)
    assert [event.done for event in progress] == list(range(1, len(progress) + 1))
    assert {event.total for event in progress} == {len(progress)} == {12 + (3 + 3) * 2 * 64}


def test_shapes_are_those_that_are_promised(bias):
    assert bias.checkpoints.tolist() == log_spaced(12) == [10, 11, 12]
    assert bias.t.tolist() == [0.3, 0.9] and torch.equal(bias.log_snr, SCHEDULE.log_snr(bias.t))
    for name, value in vars(bias.students).items():
        extra = (2,) if name == "rank_ratio" else ()
        assert value.shape == (1, 2, 3, 2, *extra) and value.isfinite().all(), name
        for reference in (bias.gaussian, bias.gaussian_all, bias.empirical):
            assert getattr(reference, name).shape == (2, 2, *extra), name
    assert bias.widths == (4,) and bias.sizes == (3, 1197) and 1e3 < bias.parameters[0] < 1e5


def test_training_lowers_the_error(bias):
    assert (bias.students.train_error.diff(dim=2) < 0).all()


def test_a_gaussian_is_linear_and_itself(bias):
    assert bias.gaussian.to_gaussian.abs().max() == 0
    assert bias.gaussian_all.to_gaussian_all.abs().max() == 0
    for reference in (bias.gaussian, bias.gaussian_all):
        assert reference.residual_first.max() < 1e-10 and reference.residual_random.max() < 1e-10
    assert bias.gaussian.to_gaussian_all[1].max() < 1e-10  # of all training digits
    assert bias.gaussian.to_gaussian_all[0].min() > 0.1


def test_the_gaussians_ranks_are_those_of_the_variances(bias):
    """Singular values alpha l / (alpha^2 l + sigma^2); three pictures span two dimensions."""
    variances = torch.linalg.eigvalsh(digits.split("train")[0].flatten(1).double().T.cov()).flip(0)
    alpha, sigma = (a[:, None] for a in SCHEDULE(bias.t))
    s = alpha * variances.clamp_min(0) / (alpha**2 * variances + sigma**2)
    ratios = torch.stack([rank(s, s.square().sum(-1), cut) / 64 for cut in CUTS], dim=-1)
    torch.testing.assert_close(bias.gaussian_all.rank_ratio, ratios.float().expand(2, 2, 2))
    torch.testing.assert_close(bias.gaussian_all.effective_rank, effective_rank(s).float().expand(2, 2))
    assert bias.gaussian.rank_ratio[0].max() <= 2 / 64 < bias.gaussian.rank_ratio[1].min()


def test_a_memory_is_itself_and_knows_its_pictures(bias):
    memory = bias.empirical
    assert memory.to_empirical.abs().max() == 0
    torch.testing.assert_close(memory.to_gaussian, bias.gaussian.to_empirical)
    torch.testing.assert_close(memory.to_gaussian_all, bias.gaussian_all.to_empirical)
    assert memory.train_error[0, 0] < 1e-6 < 0.1 < memory.test_error[0, 0]


def test_knowing_the_mean_alone_is_one_away_from_the_gaussian():
    _, _, asked = probe()
    mean = digits.split("train")[0].double().mean(0)
    found = finish(measure(lambda x_t, t: mean + 0 * x_t, asked))
    torch.testing.assert_close(found.to_gaussian_all, torch.ones(2))
    assert (found.residual_first == 0).all() and (found.effective_rank == 0).all()
    errors = [(pictures - mean).square().mean((1, 2, 3, 4)) for pictures in (asked.held_out, asked.seen)]
    torch.testing.assert_close(found.test_error, errors[0].float())
    torch.testing.assert_close(found.train_error, errors[1].float())


def test_the_residual_is_the_strict_one_of_a_single_picture():
    """Against `jacobian.linearity`, with a Jacobian by torch.func, along the first direction and its opposite."""
    _, known, asked = probe(0.6, (40, 1197), n=1)
    found = finish(measure(known[2], asked))
    for s in range(2):
        x, direction = asked.x_t[s, 0], asked.direction[s, 0]

        def f(x, s=s):
            batch = x.reshape(-1, 1, 8, 8)
            return torch.cat([known[2](one.expand_as(asked.x_t[:, :1]), 0.6)[s] for one in batch])

        jacobian = torch.func.jacrev(lambda a: f(a).flatten())(x).reshape(64, 64)
        first = torch.linalg.svd(jacobian)[2][0].view(1, 8, 8)
        lengths = x.norm() / 10 * torch.tensor([1.0, -1.0])
        for v, residual in ((first, found.residual_first), (direction, found.residual_random)):
            expected = linearity(f, x, v, (jacobian @ v.flatten()).view(1, 8, 8), lengths).residual.mean()
            assert residual[s].item() == pytest.approx(expected.item(), rel=1e-4) and expected > 1e-3


def test_pictures_are_noised_alike_and_the_seen_ones_are_the_students_own():
    data, _, asked = probe(0.5, (3, 40, 1197), n=5)
    alpha, _ = SCHEDULE(torch.tensor(0.5, dtype=torch.float64))
    grain = asked.x_t - alpha * asked.held_out
    torch.testing.assert_close(asked.seen_t - alpha * asked.seen, grain)
    assert torch.equal(grain[0], grain[2])
    assert torch.equal(asked.seen[0, 3:].float(), data[0][:2])  # a small set is gone through again
    assert torch.equal(asked.seen[1], asked.seen[2])
    test = digits.split("test")[0].double()
    assert all((test == picture).flatten(1).all(1).any() for picture in asked.held_out[0])


def test_the_same_request_gives_the_same_result(bias):
    *_, again = TrainStudents.parse(TINY).run(None)
    for name, value in vars(bias.students).items():
        assert torch.equal(value, getattr(again.students, name)), name


def test_it_is_a_link_and_a_small_file(bias):
    request = TrainStudents.parse(TINY)
    assert Request.from_query(request.to_query()) == request
    assert TrainStudents().to_query() == "v=1&do=TrainStudents"
    assert result_file.size(bias) < 10_000


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"widths": ()}, "1 to 6 widths"),
        ({"widths": (8, 8)}, "widths that differ"),
        ({"widths": (2,)}, "from 4 to 64"),
        ({"widths": (68,)}, "from 4 to 64"),
        ({"widths": (10,)}, "divisible by 4"),
        ({"sizes": ()}, "1 to 8 sizes"),
        ({"sizes": (1,)}, "2 to 1,197"),
        ({"sizes": (1198,)}, "2 to 1,197"),
        ({"steps": 0}, "1 to 20,000"),
        ({"steps": 20_001}, "1 to 20,000"),
        ({"seed": -1}, "seed"),
        ({"pictures": 0}, "1 to 100"),
        ({"pictures": 101}, "1 to 100"),
        ({"times": ()}, "1 to 20 noise levels"),
        ({"times": (0.0,)}, "above 0"),
        ({"times": (1.1,)}, "at most 1"),
    ],
)
def test_bad_input_is_one_sentence(fields, words):
    with pytest.raises(BadInput, match=words):
        TrainStudents.parse(fields)
