"""Stochastic least squares: optimum, constants and gradients against independent forms."""

import dataclasses

import numpy as np
import pytest

from mpidec.problems import PROBLEMS, ClosedForm, Smooth, TwoBlock
from mpidec.problems.base import Constants

SOURCES = PROBLEMS["least_squares"]


def shards_of(source, nodes, seed=5, **options):
    spec = SOURCES[source](**({"d": 8, "zeta": 2.0, "sigma": 0.3} | options))
    public = spec.public(seed, nodes)
    return [spec.load(g, nodes, seed, public) for g in range(nodes)], public


@pytest.mark.parametrize("source", SOURCES)
def test_the_optimum_is_that_of_all_rows_stacked(source):
    shards, public = shards_of(source, 5)
    A, b = np.concatenate([s.A for s in shards]), np.concatenate([s.b for s in shards])
    x, residual, *_ = np.linalg.lstsq(A, b, rcond=None)
    np.testing.assert_allclose(public.optimum, x, rtol=0, atol=1e-9)
    assert public.minimum == pytest.approx(float(np.sum((A @ x - b) ** 2)) / 10)
    np.testing.assert_allclose(sum(s.A.T @ (s.A @ x - s.b) for s in shards), 0, atol=1e-9)
    y = x + np.linspace(-1, 2, 8)
    assert shards[0].excess(y) == pytest.approx(np.mean([s.loss(y) for s in shards]) - public.minimum, rel=1e-9)


@pytest.mark.parametrize("source", SOURCES)
def test_constants_are_those_of_the_definitions(source):
    shards, public = shards_of(source, 4)
    L, sigma, zeta, distance = public.constants
    assert pytest.approx(max(np.linalg.eigvalsh(s.A.T @ s.A)[-1] for s in shards)) == L
    own = [s.A.T @ (s.A @ public.optimum - s.b) for s in shards]
    assert zeta == pytest.approx(np.sqrt(np.mean([g @ g for g in own])))
    assert (sigma, distance) == (0.3, pytest.approx(np.linalg.norm(public.optimum - shards[0].start(9))))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("source", SOURCES)
def test_gradients_are_those_of_the_loss_plus_noise_of_the_size_asked_for(source, dtype):
    (shard, *_), _ = shards_of(source, 3, dtype=dtype)
    x, h = np.linspace(-1, 1, 8), 1e-5
    exact = np.array([(shard.loss(x + h * e) - shard.loss(x - h * e)) / (2 * h) for e in np.eye(8)])
    noises = np.stack([shard.grad(x.astype(dtype), k) for k in range(4000)]) - exact
    assert noises.dtype == np.float64 and shard.grad(x.astype(dtype), 0).dtype == dtype
    assert np.abs(noises.mean(axis=0)).max() < 5 * 0.3 / np.sqrt(8 * 4000) + (1e-5 if dtype == "float32" else 0)
    assert np.mean(np.sum(noises**2, axis=1)) == pytest.approx(0.09, rel=0.05)
    covariance = noises.T @ noises / 4000
    np.testing.assert_allclose(covariance, 0.09 / 8 * np.eye(8), atol=0.1 * 0.09 / 8)


def test_draws_are_functions_of_seed_node_and_step():
    (a, b, _), _ = shards_of("gaussian", 3)
    (more, *_), _ = shards_of("gaussian", 4)
    x = np.ones(8)
    assert np.array_equal(a.A, more.A) and np.array_equal(a.grad(x, 7), a.grad(x, 7))
    assert np.array_equal(a.grad(x, 7) - a.grad(x, 8), more.grad(x, 7) - more.grad(x, 8))
    assert not np.allclose(a.grad(x, 7) - a.grad(x, 8), b.grad(x, 7) - b.grad(x, 8))


def test_the_decaying_problem_is_the_same_for_any_number_of_nodes():
    """One Hessian of eigenvalues 1/k^2, offsets that add up to zero, and so one optimum; zeta moves the minimum alone."""
    publics = [shards_of("decaying", M, zeta=z)[1] for M, z in ((1, 0.0), (4, 50.0), (9, 50.0))]
    for public in publics:
        np.testing.assert_allclose(np.linalg.eigvalsh(public.hessian)[::-1], 1 / np.arange(1, 9) ** 2, atol=1e-12)
        np.testing.assert_allclose(public.hessian, publics[0].hessian, atol=1e-12)
        np.testing.assert_allclose(public.optimum, publics[0].optimum, atol=1e-9)
    assert publics[0].minimum == pytest.approx(0, abs=1e-20) and publics[1].minimum > 100


def test_offsets_are_of_the_size_asked_for():
    shards, public = shards_of("decaying", 400, d=8, zeta=6.0)
    offsets = np.stack([np.linalg.solve(s.A, s.b) for s in shards]) - public.optimum
    assert np.mean(np.sum(offsets**2, axis=1)) == pytest.approx(36, rel=0.1)


def test_which_protocols_it_meets():
    (shard,), _ = shards_of("gaussian", 1)
    assert isinstance(shard, Smooth) and isinstance(shard, ClosedForm) and not isinstance(shard, TwoBlock)
    tasks = PROBLEMS["multitask_regression"]["synthetic"](d=4, tasks=2, rank=1, samples=3).rehearsal()
    assert isinstance(tasks, TwoBlock) and not isinstance(tasks, Smooth)
    assert dataclasses.is_dataclass(SOURCES["gaussian"]) and isinstance(shard.constants, Constants)
