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
    X,
    y,
    parts,
    W,
    x0,
    step,
    *,
    rounds_init,
    power_iterations,
    iterations,
    gossip="plain",
    gossip_init=None,
    estimate_rank=False,
):
    """Yield U (L, d, r) after the initialization and after each iteration k, U <- QR(step(U, grads, eta, k))."""
    M = len(parts) * mixer(W, rounds_init, gossip_init or gossip)
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


# -- stochastic methods: G(X, k) gives all nodes' gradients (L, d) at the rows of X in step k; results are X (L, d). Each is
# written as sums over its history with powers of the mixing matrix, where the package steps.


def history(P: np.ndarray, terms: Sequence[np.ndarray]) -> np.ndarray:
    """sum_s P^(t - s + 1) terms[s - 1] over s = 1, …, t = len(terms): what t rounds make of terms added one a round."""
    t = len(terms)
    return sum((np.linalg.matrix_power(P, t - s) @ term for s, term in enumerate(terms)), np.zeros_like(terms[0]))


def dat_sgd(G, P, x0, *, step_size, iterations, growth=1.0, at_iterate=False):  # type: ignore[no-untyped-def]
    """w_{t+1} = w_1 - eta sum_s alpha_s P^(t-s+1) g_s;  A_t x_{t+1} = sum_s alpha_s P^(t-s+1) (w_s - eta alpha_s g_s)."""
    X, w, g = x0, [x0], []
    for t in range(1, iterations + 1):
        alphas = np.arange(1, t + 1) ** growth
        g.append(G(w[-1] if at_iterate else X, t))
        moved = [w[s] - step_size * alphas[s] * g[s] for s in range(t)]
        X = history(P, [a * m for a, m in zip(alphas, moved, strict=True)]) / alphas.sum()
        w.append(x0 - step_size * history(P, [a * h for a, h in zip(alphas, g, strict=True)]))
    return X


def dat_sgd_at_iterate(G, P, x0, **options):  # type: ignore[no-untyped-def]
    return dat_sgd(G, P, x0, at_iterate=True, **options)


def dat_sgd_momentum(G, P, x0, *, step_size, momentum, iterations):  # type: ignore[no-untyped-def]
    """x_{t+1} = (1-c)^t x_1 + c sum_s (1-c)^(t-s) P^(t-s+1) (w_s - eta g_s)."""
    X, w, g, keep = x0, [x0], [], 1 - momentum
    for t in range(1, iterations + 1):
        g.append(G(X, t))
        moved = [momentum * keep ** (t - 1 - s) * (w[s] - step_size * g[s]) for s in range(t)]
        X = keep**t * x0 + history(P, moved)
        w.append(x0 - step_size * history(P, g))
    return X


def d_sgd(G, P, x0, *, step_size, iterations):  # type: ignore[no-untyped-def]
    """x_{t+1} = x_1 - eta sum_s P^(t-s+1) g_s."""
    return d_sgd_momentum(G, P, x0, step_size=step_size, momentum=0.0, iterations=iterations)


def d_sgd_momentum(G, P, x0, *, step_size, momentum, iterations):  # type: ignore[no-untyped-def]
    """The same with sum_r beta^(s-r) g_r for g_s."""
    X, g = x0, []
    for t in range(1, iterations + 1):
        g.append(G(X, t))
        m = [sum(momentum ** (s - r) * g[r] for r in range(s + 1)) for s in range(t)]
        X = x0 - step_size * history(P, m)
    return X


def d2(G, P, x0, *, step_size, iterations):  # type: ignore[no-untyped-def]
    """As D-SGD corrected by all disagreement so far: x_{t+1} = P (x_t - eta g_t) - (I - P) (x_2 + … + x_t)."""
    X, past = x0, np.zeros_like(x0)
    for t in range(1, iterations + 1):
        past = past + (X if t > 1 else 0)
        X = P @ (X - step_size * G(X, t)) - (past - P @ past)
    return X


def gradient_tracking(G, P, x0, *, step_size, iterations):  # type: ignore[no-untyped-def]
    """y_t = P^t g_0 + sum_s P^(t-s) (g_s - g_{s-1});  x_{t+1} = x_1 - eta sum_s P^(t-s+1) y_s."""
    X, g, y = x0, [G(x0, 0)], []
    for t in range(1, iterations + 1):
        changes = [g[0], *(b - a for a, b in zip(g[:-1], g[1:], strict=True))]
        y.append(sum(np.linalg.matrix_power(P, t - 1 - s) @ change for s, change in enumerate(changes)))
        X = x0 - step_size * history(P, y)
        g.append(G(X, t))
    return X


def local_sgd(G, P, x0, *, step_size, period, iterations):  # type: ignore[no-untyped-def]
    """Whole periods of steps apart, mixed at their ends."""
    X = x0
    for first in range(1, iterations + 1, period):
        last = min(first + period - 1, iterations)
        for t in range(first, last + 1):
            X = X - step_size * G(X, t)
        X = P @ X if last - first + 1 == period else X
    return X


def d_amsgrad(G, P, x0, *, step_size, beta1, beta2, floor, iterations):  # type: ignore[no-untyped-def]
    """Moments as sums over all gradients, peaks as maxima over all moments, the scale as P^t eps + sum of tracked changes."""
    X, g, peaks = x0, [], [np.full_like(x0, floor)]
    for t in range(1, iterations + 1):
        g.append(G(X, t))
        m = sum((1 - beta1) * beta1 ** (t - 1 - s) * g[s] for s in range(t))
        v = [sum((1 - beta2) * beta2 ** (r - s) * g[s] ** 2 for s in range(r + 1)) for r in range(t)]
        # of the changes up to t - 1, each mixed as often as rounds have passed since
        changes = [peaks[0], *(b - a for a, b in zip(peaks[:-1], peaks[1:], strict=True))]
        u = np.maximum(history(P, changes), floor)
        peaks.append(np.max([peaks[0], *v], axis=0))
        X = P @ X - step_size * m / np.sqrt(u)
    return X


def theory_step_size(A: np.ndarray, b: np.ndarray, sigma: float, T: int, rho: float) -> float:
    """Theorem 4.1 of arXiv 2506.00961 for f_g = 1/2 ||A_g x - b_g||^2 from 0, A (L, d, d), b (L, d)."""
    M, d = b.shape
    stacked, labels = A.reshape(M * d, d), b.reshape(M * d)
    x = np.linalg.lstsq(stacked, labels, rcond=None)[0]
    own = [a.T @ (a @ x - c) for a, c in zip(A, b, strict=True)]
    L = max(np.linalg.eigvalsh(a.T @ a)[-1] for a in A)
    zeta2, D1, K = np.mean([g @ g for g in own]), np.sqrt(x @ x), L * np.sqrt(5120)
    parts = [1 / (24 * L * T), rho**2 / K, D1 * np.sqrt(M / 3) / (sigma * T * np.sqrt(T))]
    return float(min([*parts, rho / T * np.sqrt(D1 / (2 * K * np.sqrt(2 * sigma**2 + zeta2)))]))


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
