"""The local step against explicit loops over tasks, and the synthetic tasks against their own laws."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from mpidec.errors import InputError
from mpidec.options import build
from mpidec.problems import PROBLEMS, TwoBlock, multitask
from mpidec.problems.multitask import MultitaskRegression
from mpidec.problems.synthetic import Synthetic

SIZES = [(1, 2, 2, 1), (7, 5, 4, 3), (11, 9, 12, 2), (23, 30, 17, 5), (5, 6, 40, 4)]  # tasks, n, d, r


def random_problem(tasks, n, d, r, seed=0):
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((tasks, n, d)), rng.standard_normal((tasks, n))
    u = rng.standard_normal((d, r))
    return MultitaskRegression(X, y, rank=r, total_tasks=tasks), u


def by_lstsq(problem, u):
    """G, B and the loss, one task after the other, b_t the shortest minimizer."""
    G, B, loss = np.zeros(u.shape), [], 0.0
    for X, y in zip(problem.X, problem.y, strict=True):
        b = np.linalg.lstsq(X @ u, y, rcond=1e-12)[0]
        residual = X @ u @ b - y
        G += np.outer(X.T @ residual, b)
        B.append(b)
        loss += residual @ residual
    return G, np.array(B), loss


def assert_close(got, wanted, tolerance):
    assert np.linalg.norm(got - wanted) <= tolerance * np.linalg.norm(wanted)


@pytest.fixture(params=[(1 << 20, 1 << 21), (0, 0), (6000, 9000), (3000, 1 << 21)], ids=str)
def blocks(request, monkeypatch):
    """All tasks in one block; every task by itself; several chunks of several blocks; one chunk of several blocks."""
    block, chunk = request.param
    monkeypatch.setattr(multitask, "_BLOCK_BYTES", block)
    monkeypatch.setattr(multitask, "_CHUNK_BYTES", chunk)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("sizes", SIZES)
def test_grad_and_loss_equal_a_loop_of_least_squares(sizes):
    problem, u = random_problem(*sizes)
    wanted_G, wanted_B, wanted_loss = by_lstsq(problem, u)
    G, B = problem.grad(u)
    assert_close(B, wanted_B, 1e-12)
    assert np.array_equal(problem.solutions(u), B)
    assert_close(G, wanted_G, 1e-12)
    assert problem.loss(u) == pytest.approx(wanted_loss, rel=1e-12)


@pytest.mark.parametrize("sizes", [(7, 3, 9, 3), (7, 9, 3, 3), (1, 1, 1, 1)])
def test_where_u_cannot_improve_the_gradient_vanishes(sizes):
    """As many coefficients as samples fit every label; a square u reaches every theta."""
    problem, u = random_problem(*sizes)
    G, B = problem.grad(u)
    norms = (np.linalg.norm(part.reshape(sizes[0], -1), axis=1) for part in (problem.X, problem.y, B))
    assert np.linalg.norm(G) <= 1e-12 * np.sum(np.prod(list(norms), axis=0))


def test_the_size_of_a_block_changes_no_bit(monkeypatch):
    results = []
    for block in (0, 2500, 1 << 20):
        monkeypatch.setattr(multitask, "_BLOCK_BYTES", block)
        problem, u = random_problem(23, 6, 17, 3)
        results.append(problem.grad(u))
    for G, B in results[1:]:
        assert np.array_equal(G, results[0][0])
        assert np.array_equal(B, results[0][1])


def test_grad_is_half_the_derivative_of_the_loss():
    """b_t minimizes, so the loss changes with u as if b_t stood still (envelope theorem)."""
    problem, u = random_problem(13, 9, 8, 3)
    G, _ = problem.grad(u)
    rng = np.random.default_rng(1)
    for _ in range(5):
        direction, h = rng.standard_normal(u.shape), 1e-5
        slope = (problem.loss(u + h * direction) - problem.loss(u - h * direction)) / (2 * h)
        assert slope == pytest.approx(2 * np.sum(G * direction), rel=1e-6, abs=1e-6)


def test_only_the_subspace_counts():
    """A change of basis u A changes no prediction: the loss stays, G turns with the inverse transpose."""
    problem, u = random_problem(9, 8, 7, 3)
    A = np.random.default_rng(2).standard_normal((3, 3))
    assert problem.loss(u @ A) == pytest.approx(problem.loss(u), rel=1e-11)
    assert_close(problem.grad(u @ A)[0] @ A.T, problem.grad(u)[0], 1e-10)


@pytest.mark.usefixtures("blocks")
def test_tasks_that_do_not_determine_b_get_the_shortest_minimizer():
    problem, u = random_problem(12, 6, 9, 3)
    X, y = problem.X, problem.y
    X[1] = 0.0  # nothing measured
    X[4] = X[4, 0]  # one sample six times
    X[5, 2:] = X[5, :1] + X[5, 1:2]  # two independent samples
    X[8] -= (X[8] @ u[:, :1]) @ np.linalg.pinv(u)[:1]  # blind to the first column of u
    y[7] = 0.0
    G, B = problem.grad(u)
    wanted_G, wanted_B, wanted_loss = by_lstsq(problem, u)
    assert_close(B, wanted_B, 1e-10)
    assert_close(G, wanted_G, 1e-10)
    assert problem.loss(u) == pytest.approx(wanted_loss, rel=1e-12)
    assert np.array_equal(B[1], np.zeros(3))
    assert np.array_equal(B[7], np.zeros(3))


def test_badly_conditioned_tasks_keep_the_digits_of_a_factorization():
    problem, u = random_problem(6, 20, 10, 3)
    u[:, 2] = u[:, 0] + 1e-7 * u[:, 2]  # condition 1e7: the normal equations would have two digits left
    B = problem.grad(u)[1]
    assert_close(B, by_lstsq(problem, u)[1], 1e-7)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200, 1e308])
def test_what_is_not_finite_passes_through_in_silence(value):
    problem, u = random_problem(11, 6, 9, 3)
    u[4, 1] = value
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        G, B = problem.grad(u)
        loss, curvature = problem.loss(u), problem.curvature(u)
    if not np.isfinite(value):
        assert not np.isfinite(G).any()
        assert not np.isfinite(B).any()
        assert np.isnan(loss)
        assert np.isnan(curvature)
    else:
        assert G.shape == (9, 3)
        assert B.shape == (11, 3)
    # and leaves nothing behind
    sound = random_problem(11, 6, 9, 3)[1]
    assert_close(problem.grad(sound)[0], by_lstsq(problem, sound)[0], 1e-12)


def test_results_are_the_callers_own_and_data_are_never_changed():
    problem, u = random_problem(8, 6, 5, 2)
    kept_X, kept_y, kept_u = problem.X.copy(), problem.y.copy(), u.copy()
    G, B = problem.grad(u)
    kept_G, kept_B = G.copy(), B.copy()
    problem.grad(-2.0 * u[::-1])
    problem.truncated_moment(0.5)
    problem.curvature(u)
    for kept, now in ((kept_X, problem.X), (kept_y, problem.y), (kept_u, u), (kept_G, G), (kept_B, B)):
        assert np.array_equal(kept, now)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("sizes", [(7, 5, 3, 3), (6, 9, 12, 2), (9, 4, 5, 1), (1, 3, 8, 2)])
def test_curvature_equals_the_dense_hessian(sizes):
    for seed in range(4):
        problem, u = random_problem(*sizes, seed=seed)
        B = by_lstsq(problem, u)[1]
        H = sum(np.kron(X.T @ X, np.outer(b, b)) for X, b in zip(problem.X, B, strict=True))
        largest = np.linalg.eigvalsh(H)[-1]
        assert 0.999 * largest <= problem.curvature(u) <= 1.01 * largest


def test_the_hessian_in_curvature_is_that_of_half_the_loss_at_fixed_b():
    """Second difference of sum ||X_t u b_t - y_t||^2 / 2 in u, b_t held."""
    problem, u = random_problem(5, 6, 7, 2)
    _, B = problem.grad(u)
    V = np.random.default_rng(3).standard_normal(u.shape)

    def held(w):
        return sum(np.sum((X @ w @ b - y) ** 2) for X, y, b in zip(problem.X, problem.y, B, strict=True)) / 2

    second = held(u + V) - 2 * held(u) + held(u - V)  # exact: the function is quadratic
    assert np.sum(V * problem._hessian(B, V)) == pytest.approx(second, rel=1e-10)


def test_moments_equal_a_loop():
    problem, _ = random_problem(7, 9, 5, 2)
    assert problem.second_moment() == pytest.approx(sum(v * v for v in problem.y.ravel()), rel=1e-13)
    alpha = float(np.sort(problem.y.ravel() ** 2)[40])  # cuts 22 labels; the one at alpha itself stays
    columns = []
    for X, y in zip(problem.X, problem.y, strict=True):
        columns.append(sum((x * v for x, v in zip(X, y, strict=True) if v * v <= alpha), np.zeros(5)) / 9)
    assert_close(problem.truncated_moment(alpha), np.array(columns).T, 1e-13)


def test_start_is_gaussian_and_the_same_on_every_share():
    spec = Synthetic(d=50, tasks=7, rank=4, samples=4)
    starts = [spec.load(node, 3, 5, None).start(5) for node in range(3)]
    assert np.array_equal(starts[0], starts[2])
    assert not np.array_equal(starts[0], spec.load(0, 3, 5, None).start(6))
    assert abs(starts[0].mean()) < 5 / np.sqrt(200)
    assert abs(starts[0].std() - 1) < 5 / np.sqrt(400)


def test_arrays_of_another_type_or_order_are_refused():
    X, y = np.zeros((3, 4, 5)), np.zeros((3, 4))
    for bad_X, bad_y in ((X.astype(np.float32), y), (np.asfortranarray(X), y), (X, y[:2]), (X, y.astype(int))):
        with pytest.raises(ValueError, match="wanted float64"):
            MultitaskRegression(bad_X, bad_y, rank=2, total_tasks=3)


def test_a_share_is_a_two_block_problem_and_says_what_it_holds():
    problem, _ = random_problem(8, 6, 5, 2)
    assert isinstance(problem, TwoBlock)
    assert (problem.shape, problem.tasks, problem.samples) == ((5, 2), 8, 6)
    assert problem.nbytes == 8 * (8 * 6 * 5 + 8 * 6)
    assert (problem.scores(np.zeros((5, 2))), problem.references(), problem.score_names) == ({}, {}, ())


# synthetic tasks


def test_a_synthetic_task_is_the_same_on_any_number_of_ranks():
    spec = Synthetic(d=13, tasks=11, rank=3, samples=5, noise=0.3, condition=2.0)
    whole = spec.load(0, 1, 4, None)
    for nodes in (2, 3, 5, 11):
        shares = [spec.load(node, nodes, 4, None) for node in range(nodes)]
        assert np.array_equal(np.concatenate([s.X for s in shares]), whole.X)
        assert np.array_equal(np.concatenate([s.y for s in shares]), whole.y)
        assert all(np.array_equal(s.truth, whole.truth) for s in shares)
        assert all(s.total_tasks == 11 for s in shares)
    more = Synthetic(d=13, tasks=30, rank=3, samples=5, noise=0.3, condition=2.0).load(0, 1, 4, None)
    assert np.array_equal(more.X[:11], whole.X)
    assert not np.array_equal(spec.load(0, 1, 5, None).X, whole.X)


def test_a_task_is_the_same_in_unequal_shares():
    sizes = {"d": 13, "tasks": 40, "rank": 3, "samples": 5}
    whole = Synthetic(**sizes).load(0, 1, 4, None)
    shares = [Synthetic(**sizes, imbalance=6.0).load(node, 4, 4, None) for node in range(4)]
    assert [s.tasks for s in shares] == [20, 11, 6, 3]  # 40 over 1 : 6^(-1/3) : 6^(-2/3) : 1/6
    assert np.array_equal(np.concatenate([s.X for s in shares]), whole.X)
    assert np.array_equal(np.concatenate([s.y for s in shares]), whole.y)
    assert all(s.total_tasks == 40 for s in shares)


def test_shares_of_the_gradient_add_up_to_the_whole():
    spec = Synthetic(d=13, tasks=11, rank=3, samples=5)
    u = spec.load(0, 1, 4, None).start(4)
    shares = [spec.load(node, 4, 4, None) for node in range(4)]
    whole = spec.load(0, 1, 4, None)
    assert_close(sum(s.grad(u)[0] for s in shares), whole.grad(u)[0], 1e-12)
    assert sum(s.loss(u) for s in shares) == pytest.approx(whole.loss(u), rel=1e-12)
    assert whole.curvature(u) <= 1.01 * sum(s.curvature(u) for s in shares)  # eigenvalues are subadditive


def test_synthetic_labels_follow_the_model():
    problem = Synthetic(d=40, tasks=60, rank=3, samples=20).load(0, 1, 0, None)
    assert problem.isotropic
    assert_close(problem.truth.T @ problem.truth, np.eye(3), 1e-14)
    assert problem.loss(problem.truth) <= 1e-28 * problem.second_moment()
    assert problem.second_moment() == pytest.approx(60 * 20 * 3, rel=0.25)  # E (x^T U b)^2 = r
    assert np.mean(problem.X**2) == pytest.approx(1.0, abs=5 * np.sqrt(2 / problem.X.size))


def test_label_noise_has_the_given_deviation():
    problem = Synthetic(d=30, tasks=200, rank=3, samples=20, noise=0.5).load(0, 1, 0, None)
    freedom = 200 * (20 - 3)  # each task fits r coefficients to n noisy labels
    assert problem.loss(problem.truth) / freedom == pytest.approx(0.25, rel=5 * np.sqrt(2 / freedom))


@pytest.mark.parametrize(("rank", "condition"), [(4, 1.0), (4, 3.0), (2, 10.0), (1, 5.0)])
def test_solutions_have_the_given_condition_number(rank, condition):
    problem = Synthetic(d=12, tasks=2000, rank=rank, samples=rank, condition=condition).load(0, 1, 0, None)
    values = np.linalg.svd(problem.solutions(problem.truth), compute_uv=False)
    geometric = condition ** -np.linspace(0, 1, rank)
    assert_close(values / np.sqrt(2000), geometric, 0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rank": 6}, r"rank 6 is above 5, the smaller of 13 features and 5 tasks; give a rank of at most 5"),
        ({"rank": 4, "samples": 3}, r"3 samples a task cannot determine rank = 4 coefficients; give at least 4"),
        ({"tasks": 2}, r"2 tasks cannot be split over 3 nodes; use at most 2 ranks"),
    ],
)
def test_sizes_that_cannot_be_learned_are_refused(change, message):
    spec = Synthetic(**{"d": 13, "tasks": 5, "rank": 2, "samples": 6, **change})
    with pytest.raises(InputError, match=message):
        spec.check(3)
    with pytest.raises(InputError, match=message):
        spec.load(0, 3, 0, None)


def test_options_out_of_bounds_are_refused():
    cls = PROBLEMS["multitask_regression"]["synthetic"]
    sound = {"d": 13, "tasks": 5, "rank": 2, "samples": 6}
    for key, value in (("d", 0), ("noise", -0.1), ("condition", 0.5), ("samples", 2.5)):
        with pytest.raises(InputError, match=rf"problem\.{key}: got {value}, wanted"):
            build(cls, sound | {key: value}, "problem")


def test_the_rehearsal_has_the_shapes_of_the_real_thing():
    spec = Synthetic(d=13, tasks=5, rank=2, samples=6)
    stand_in, real = spec.rehearsal(), spec.load(0, 2, 0, None)
    assert (stand_in.shape, stand_in.samples, stand_in.isotropic) == (real.shape, real.samples, real.isotropic)
    assert stand_in.truth.shape == real.truth.shape
    assert stand_in.tasks == 1
    assert stand_in.grad(stand_in.start(0))[0].shape == (13, 2)
