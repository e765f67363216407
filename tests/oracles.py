"""Dense oracles: each method again as one process would write it, with the whole mixing matrix and all data at hand.

They share no code with the package: tasks are solved by QR, not by normal equations in blocks; gossip is a power of W.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def qr_positive(V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    Q, R = np.linalg.qr(V)
    D = np.diag(np.sign(np.diag(R)))
    return Q @ D, D @ R


def gradient(X: np.ndarray, y: np.ndarray, U: np.ndarray) -> np.ndarray:
    """sum_t X_t^T (X_t U b_t - y_t) b_t^T with b_t by QR of X_t U; X (T, n, d), y (T, n), U (d, r)."""
    XU = X @ U
    Q, R = np.linalg.qr(XU)
    B = np.linalg.solve(R, np.einsum("tnr,tn->tr", Q, y)[:, :, None])[:, :, 0]
    residuals = np.einsum("tnr,tr->tn", XU, B) - y
    return (residuals[:, None, :] @ X)[:, 0].T @ B


def gamma_of(W: np.ndarray) -> float:
    """The largest modulus of an eigenvalue of W beside the 1 of consensus; 0 for one node, and where it is rounding."""
    moduli = np.sort(np.abs(np.linalg.eigvalsh(W)))
    return float(moduli[-2]) if len(W) > 1 and moduli[-2] > 1e-12 else 0.0


def chebyshev(W: np.ndarray, rounds: int, gamma: float) -> np.ndarray:
    """T_rounds(W / gamma) / T_rounds(1 / gamma) by the eigenvalues of W; W^rounds for gamma = 0, its limit for W^2 = W."""
    if gamma == 0:
        return np.linalg.matrix_power(W, rounds)
    values, V = np.linalg.eigh(W)
    T = np.polynomial.chebyshev.Chebyshev.basis(rounds)
    return (V * (T(values / gamma) / T(1 / gamma))) @ V.T


def mixer(W: np.ndarray, rounds: int, gossip: str = "plain") -> np.ndarray:
    """What `rounds` rounds of gossip apply over the nodes, (L, L)."""
    return np.linalg.matrix_power(W, rounds) if gossip == "plain" else chebyshev(W, rounds, gamma_of(W))


def mix(M: np.ndarray, Z: np.ndarray) -> np.ndarray:
    """M applied over the first axis of Z (L, ...)."""
    return np.tensordot(M, Z, axes=1)


def spectral_start(
    X: np.ndarray,
    y: np.ndarray,
    parts: Sequence[range],
    x0: np.ndarray,
    M: np.ndarray,
    resync: bool,
    iterations: int,
    estimate_rank: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """U (L, d, r) and step sizes (L,) after the truncated spectral initialization; M (L, L) takes local to summed.

    An estimated rank is that of the first node's singular values, which are the square roots of its last R's diagonal.
    """
    T, n, _ = X.shape
    L = len(parts)
    alphas = M @ np.array([9 / (n * T) * np.sum(y[list(p)] ** 2) for p in parts])
    thetas = []
    for p, alpha in zip(parts, alphas, strict=True):
        cut = np.where(y[list(p)] ** 2 <= alpha, y[list(p)], 0.0)
        thetas.append(np.stack([X[t].T @ cut[i] / n for i, t in enumerate(p)], axis=1))
    U = np.stack([qr_positive(x0)[0]] * L)
    sigma2 = np.zeros(L)
    for _ in range(iterations):
        Z = np.tensordot(M, np.stack([th @ (th.T @ u) for th, u in zip(thetas, U, strict=True)]), axes=1)
        factors = [qr_positive(z) for z in Z]
        sigma2 = np.array([np.max(np.diag(R)) for _, R in factors])
        falls = np.diff(np.log(np.diag(factors[0][1])))
        U = np.stack([Q for Q, _ in factors])
        if resync:
            only_first = np.concatenate([U[:1], np.zeros_like(U[1:])])
            U = np.stack([qr_positive(z)[0] for z in np.tensordot(M, only_first, axes=1)])
    return U[:, :, : int(np.argmin(falls)) + 1] if estimate_rank else U, 0.4 / (n * sigma2)


def gossip_methods(  # type: ignore[no-untyped-def]
    X, y, parts, W, x0, step, *, rounds_init, power_iterations, iterations, gossip="plain", estimate_rank=False
):
    """Yield U (L, d, r) after the initialization and after each iteration k, U <- QR(step(U, grads, eta, k))."""
    M = len(parts) * mixer(W, rounds_init, gossip)
    U, eta = spectral_start(X, y, parts, x0, M, True, power_iterations, estimate_rank)
    yield U
    for k in range(1, iterations + 1):
        grads = np.stack([gradient(X[list(p)], y[list(p)], u) for p, u in zip(parts, U, strict=True)])
        U = np.stack([qr_positive(v)[0] for v in step(U, grads, eta[:, None, None], k)])
        yield U


def dif_altgdmin(X, y, parts, W, x0, *, rounds, gossip="plain", **options):  # type: ignore[no-untyped-def]
    """Adapt, then combine."""
    M = mixer(W, rounds, gossip)
    step = lambda U, grads, eta, k: mix(M, U - len(parts) * eta * grads)  # noqa: E731
    return gossip_methods(X, y, parts, W, x0, step, gossip=gossip, **options)


def dec_altgdmin(X, y, parts, W, x0, *, rounds, gossip="plain", **options):  # type: ignore[no-untyped-def]
    """Gradients agreed on, then a step."""
    M = len(parts) * mixer(W, rounds, gossip)
    step = lambda U, grads, eta, k: U - eta * mix(M, grads)  # noqa: E731
    return gossip_methods(X, y, parts, W, x0, step, gossip=gossip, **options)


def dec_altgdmin_falling(X, y, parts, W, x0, *, most, fall, least, gossip="plain", **options):  # type: ignore[no-untyped-def]
    """The same with rounds that fall from `most` by `fall` an iteration, whole rounds only, to `least`."""

    def step(U, grads, eta, k):  # type: ignore[no-untyped-def]
        rounds = most - int(fall * (k - 1))
        return U - eta * mix(len(parts) * mixer(W, rounds if rounds > least else least, gossip), grads)

    return gossip_methods(X, y, parts, W, x0, step, gossip=gossip, **options)


def dgd(X, y, parts, W, x0, **options):  # type: ignore[no-untyped-def]
    """One round on U, less the own gradient."""
    return gossip_methods(X, y, parts, W, x0, lambda U, grads, eta, k: mix(W, U) - eta * grads, **options)


def altgdmin(X, y, x0, *, power_iterations, iterations, estimate_rank=False):  # type: ignore[no-untyped-def]
    """Centralized: yield U (1, d, r) after the initialization and after each iteration."""
    everything = [range(len(X))]
    U, eta = spectral_start(X, y, everything, x0, np.eye(1), False, power_iterations, estimate_rank)
    yield U
    for _ in range(iterations):
        U = qr_positive(U[0] - eta[0] * gradient(X, y, U[0]))[0][None]
        yield U


def metropolis(neighbors: Sequence[Sequence[int]]) -> np.ndarray:
    """The dense Metropolis matrix of an adjacency list."""
    L = len(neighbors)
    W = np.zeros((L, L))
    for i, ns in enumerate(neighbors):
        for j in ns:
            W[i, j] = 1 / (1 + max(len(ns), len(neighbors[j])))
        W[i, i] = 1 - W[i].sum()
    return W


def subspace_distance(U: np.ndarray, truth: np.ndarray) -> float:
    """Sine of the largest principal angle, by the singular values of U^T U* (an independent form of SD_2)."""
    P = np.eye(len(U)) - U @ U.T
    return float(np.sqrt(np.max(np.linalg.eigvalsh((P @ truth).T @ (P @ truth)))))
