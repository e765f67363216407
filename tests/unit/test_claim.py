"""What the claim concludes, from synthetic trajectories whose slopes, counts and plateaus are known by formula."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from mpidec.claim import PARTS, accuracy, graphs, off_path, traffic
from mpidec.claim.fits import METRIC, SLACK, fall, fewest, plateaus, reaching
from mpidec.claim.plan import CENTRAL, central, experiment, ladder, seconds
from mpidec.config import parse
from mpidec.html.collect import Run
from mpidec.intervals import estimate
from mpidec.lines import fit, power


def trajectory(rate, floor=0.0, steps=170, sent=0.0, start=0.0):
    """rate^k down to a floor; bytes: `start` for the initialization and `sent` an iteration."""
    return [
        {
            "step": float(k),
            "subspace_distance": max(rate**k, floor),
            "bytes_max": start + k * sent,
            "bytes_total": 3 * (start + k * sent),
        }
        for k in range(steps + 1)
    ]


def fake(seed, methods, gamma=0.5, nodes=20, degree=4, graph="torus", **problem):
    """A run folder's contents from `methods`: label -> (settings, rows)."""
    tables = [{"label": label, **own} for label, (own, _) in methods.items()]
    settings = {"seed": seed, "graph": {"topology": graph}, "problem": {"d": 200, "rank": 2, **problem}, "method": tables}
    about = SimpleNamespace(ranks=nodes, graph=SimpleNamespace(gamma=gamma, degree_max=degree), references={})
    return Run(f"seed {seed}", None, about, settings, {label: rows for label, (_, rows) in methods.items()}, {}, None)


def climbing(algorithm, rungs, rows_of, gossip="plain"):
    return {table["label"]: (table, rows_of(table["rounds"])) for table in ladder(algorithm, list(rungs), 170, gossip=gossip)}


def by_claim(findings, *words):
    (verdict,) = [v for v in findings.verdicts if all(word in v.claim for word in words)]
    return verdict


# -- fits -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0, -0.5])
def test_a_power_law_gives_its_exponent(exponent):
    x = [3.0, 4.0, 8.0, 60.0]
    assert power(x, [7.0 * value**exponent for value in x]) == pytest.approx(exponent, abs=1e-12)


def test_a_line_is_fitted_and_its_scatter_told():
    line = fit([0, 1, 2, 3], [1, 3, 5, 7])
    assert (line.slope, line.at(10), line.r2) == pytest.approx((2.0, 21.0, 1.0), abs=1e-12)
    # the normal equations by hand: slope 1.4, residuals -.2, .4, -.2 ... of a total variance of 10
    crooked = fit([0, 1, 2, 3], [0, 2, 2, 5])
    assert crooked.slope == pytest.approx(1.5)
    assert crooked.r2 == pytest.approx(11.25 / 12.75)


def test_the_interval_is_students_and_covers_as_often_as_it_says():
    found = estimate([1, 2, 3, 4, 5])
    assert (found.mean, found.high - 3) == pytest.approx((3.0, 2.7764451052 * math.sqrt(2.5 / 5)))
    draws = np.random.default_rng(0).standard_normal((4000, 5))
    covered = np.mean([e.low <= 0 <= e.high for e in map(estimate, draws)])
    assert covered == pytest.approx(0.95, abs=0.012)


@pytest.mark.parametrize(
    ("values", "low", "high", "verdict"),
    [
        ([1.0, 1.0, 1.0], 0.9, 1.1, True),
        ([2.0, 2.0, 2.0], 0.9, 1.1, False),
        ([0.9, 1.0, 1.1], 0.99, 1.01, None),  # the interval reaches over both ends
        ([0.0, 2.0], 0.9, 1.1, True),  # two seeds: by the mean alone
        ([], 0.9, 1.1, None),
    ],
)
def test_a_verdict_goes_by_the_interval(values, low, high, verdict):
    assert estimate(values).inside(low, high) is verdict


@pytest.mark.parametrize("rate", [0.5, 0.8, 0.93])
def test_iterations_to_an_accuracy_follow_the_formula(rate):
    for eps in (0.3, 1e-3, 2e-5):
        assert reaching(trajectory(rate), eps)["step"] == math.ceil(math.log(eps) / math.log(rate))
    assert reaching(trajectory(rate, floor=1e-4), 1e-5) is None


def test_the_fewest_rounds_are_those_that_keep_up():
    # k rounds lose the share 1/(k + 1) of the rate, so they need (k + 1)/k times the iterations: 1.3 from k = 4 on
    central_rows = trajectory(0.9, steps=400)
    own = {k: trajectory(0.9 ** (k / (k + 1)), steps=400) for k in range(1, 9)}
    assert fewest(own, central_rows, 1e-10) == math.ceil(1 / (SLACK - 1)) == 4
    assert fewest({k: own[k] for k in (1, 2, 3)}, central_rows, 1e-10) is None
    assert fewest(own, trajectory(0.9, floor=1e-3), 1e-10) is None


def test_plateaus_fall_by_gamma():
    own = {k: trajectory(0.7, floor=3.0 * 0.61**k) for k in range(2, 60, 3)}
    levels = plateaus(own, 1e-11, 1e-2)
    assert min(levels) == 14  # 3 * 0.61^k is below 1e-2
    assert fall(levels) == pytest.approx(0.61, abs=1e-12)
    assert max(levels) < math.log(1e-11 / 3) / math.log(0.61)
    assert plateaus({1: trajectory(0.9)}, 1e-30, 1e-2) == {}  # it still falls
    assert fall({5: 1e-3}) is None


# -- statements -------------------------------------------------------------------------------------------------------

GAMMA = 0.55


def accuracy_run(seed, dif_floor, dec_rungs=range(1, 60), dif_rungs=range(1, 7)):
    """Centralized falls by 0.8 an iteration; Dec stalls at gamma^rounds; Dif from 3 rounds on at dif_floor(rounds)."""
    methods = {CENTRAL: (central(170), trajectory(0.8))}

    def dif(rounds):
        return trajectory(0.8, floor=dif_floor(rounds) if rounds >= 3 else 0.1, sent=rounds, start=100.0)

    for gossip in ("plain", "chebyshev"):
        methods |= climbing("dif_altgdmin", dif_rungs, dif, gossip)
    rate = {"plain": GAMMA, "chebyshev": math.exp(-math.acosh(1 / GAMMA))}
    for gossip, factor in rate.items():
        methods |= climbing("dec_altgdmin", dec_rungs, lambda k, f=factor: trajectory(0.8, f**k, sent=k, start=7.0), gossip)
    return fake(seed, methods, GAMMA)


@pytest.fixture(scope="module")
def judged():
    runs = [accuracy_run(seed, lambda rounds: 0.0) for seed in range(3)]
    return runs, PARTS["accuracy"].judge({"accuracy": runs}, lambda plan: f"again {plan}")


def test_rounds_that_do_not_depend_on_eps_are_found_flat(judged):
    for words in (("dif_altgdmin: ", "do not depend"), ("dif_altgdmin chebyshev", "do not depend")):
        verdict = by_claim(judged[1], *words)
        assert verdict.holds is True
        assert verdict.measured == "0.000 rounds a decade"
        assert "suffice, over eps and seeds: 3." in verdict.note
        assert verdict.command == "again accuracy"


@pytest.mark.parametrize(("seeds", "top", "holds"), [(1, 4, None), (1, 5, False), (3, 4, False)])
def test_one_round_more_decides_nothing_by_one_seed(seeds, top, holds):
    """Half the decades take 3 rounds, the others `top`: a slope above the limit, which for 4 is one step."""
    runs = [accuracy_run(seed, lambda rounds: 0.0 if rounds >= top else 1e-8) for seed in range(seeds)]
    verdict = by_claim(PARTS["accuracy"].judge({"accuracy": runs}, str), "dif_altgdmin: ", "do not depend")
    assert verdict.holds is holds
    assert ("least there is" in verdict.note) is (holds is None)
    x, y = np.arange(4, 13), np.where(np.arange(4, 13) <= 8, 3, top)
    assert float(verdict.measured.split()[0]) == pytest.approx(np.polyfit(x, y, 1)[0], abs=5e-4)


def test_rounds_of_a_stalling_method_rise_by_gammas_rate(judged):
    for name in ("dec_altgdmin: ", "dec_altgdmin chebyshev: "):
        assert by_claim(judged[1], name, "rise linearly").holds is True
        ratio = by_claim(judged[1], name, "rounds of a decade")
        assert ratio.holds is True
        assert float(ratio.measured.split()[1]) == pytest.approx(1.0, abs=0.03)  # whole rounds, 2 a decade at least
    plateau = by_claim(judged[1], "plateau")
    assert (plateau.measured, plateau.holds) == ("1.000", True)


def test_bytes_to_an_accuracy_count_with_the_initialization_and_without(judged):
    runs, findings = judged
    dif, dec = accuracy.climbs(runs)["dif_altgdmin"][0], accuracy.climbs(runs)["dec_altgdmin"][0]
    for k in accuracy.DECADES:
        steps = math.ceil(k * math.log(10) / -math.log(0.8))
        rounds = math.ceil(k * math.log(10) / -math.log(GAMMA))
        assert dif.bytes_to(k, "bytes_max", start=False) == 3 * steps
        assert dif.bytes_to(k, "bytes_max", start=True) == 3 * steps + 100
        assert dec.bytes_to(k, "bytes_total", start=False) == 3 * rounds * steps
    grows = by_claim(findings, "Bytes to eps")
    assert grows.holds is True
    # rounds of a decade over the 3 of the other
    assert float(grows.measured.split()[1]) == pytest.approx(math.log(10) / -math.log(GAMMA) / 3, abs=0.05)


def test_a_method_whose_rounds_do_depend_on_eps_is_found_out():
    runs = [accuracy_run(seed, lambda rounds: GAMMA**rounds, dif_rungs=range(1, 60)) for seed in range(3)]
    findings = PARTS["accuracy"].judge({"accuracy": runs}, str)
    assert by_claim(findings, "dif_altgdmin: ", "do not depend").holds is False
    assert by_claim(findings, "Bytes to eps").holds is not True


def test_what_lies_beyond_the_ladder_is_extrapolated_and_marked_so():
    runs = [accuracy_run(seed, lambda rounds: 0.0, dec_rungs=range(1, 21)) for seed in range(3)]
    findings = PARTS["accuracy"].judge({"accuracy": runs}, str)
    assert "1e-6 at seed 0" in by_claim(findings, "dec_altgdmin: ", "rise linearly").note
    rows = {row[0]: row[1:] for row in findings.pictures[0].table.rows}
    for k in accuracy.DECADES:
        exact = k * math.log(10) / -math.log(GAMMA)
        middle, _, _, how = rows[f"dec_altgdmin, eps 1e-{k}"]
        assert middle == pytest.approx(exact, abs=2.0)
        assert how == ("measured" if exact <= 20 else "extrapolated in 3 of 3 seeds")


def graph_runs(need, seeds=3):
    """Runs on four graphs of which each needs need(x) rounds, x = log L / log(1/gamma)."""
    runs = []
    for seed in range(seeds):
        for graph, gamma in (("ring", 0.97), ("torus", 0.8), ("exponential", 0.5), ("complete", 0.0)):
            x = math.log(20) / -math.log(gamma) if gamma else 0.0
            rows = {k: trajectory(0.8, 0.0 if k >= need(x) else 1e-2, sent=k * 4 * 3200.0) for k in range(1, 121)}
            methods = {CENTRAL: (central(140), trajectory(0.8))} | climbing("dif_altgdmin", rows, rows.__getitem__)
            runs.append(fake(seed, methods, gamma, 20, 4, graph))
    return {"graphs-all": runs}


@pytest.mark.parametrize(
    ("need", "exponent", "bounded", "told"),
    [(lambda x: x, 1.0, None, True), (lambda x: 5, 0.0, True, False), (lambda x: x**1.5 / 9, 1.5, False, False)],
)
def test_needed_rounds_are_held_against_the_gap(need, exponent, bounded, told):
    findings = graphs.PART.judge(graph_runs(need), str)
    bound = by_claim(findings, "rounds needed grow")
    assert float(bound.measured.split()[1]) == pytest.approx(exponent, abs=0.1)
    assert bound.holds in ((True, False) if bounded is None else (bounded,))
    assert by_claim(findings, "alone tell").holds is told


def test_gossip_beats_the_hub_where_its_rounds_times_degree_are_fewer():
    for rounds, wins in ((4, True), (5, False)):  # degree 4, L = 20: 16 and 20 against 19
        measured = graph_runs(lambda x, n=rounds: n) | {traffic.LIBRARY: []}
        findings = traffic.PART.judge(measured, str)
        assert by_claim(findings, "exactly where").holds is True
        assert by_claim(findings, "On every graph").holds is wins
        factor = rounds * 4 / (2 * 19 / 20)
        assert by_claim(findings, "all-reduce by its model").measured == f"factors {factor:.1f} to {factor:.1f}"


def test_the_noise_floor_ends_the_advantage_or_not():
    def run(seed, dec_rounds):
        methods = {CENTRAL: (central(100), trajectory(0.8, 1e-3))}
        methods |= climbing("dif_altgdmin", (1, 2, 3), lambda k: trajectory(0.8, 1e-3 if k >= 2 else 1e-1))
        methods |= climbing("dec_altgdmin", (2, 4, 8), lambda k: trajectory(0.8, 1e-3 if k >= dec_rounds else 1e-1))
        return fake(seed, methods, noise=0.1)

    for dec_rounds, gone in ((2, True), (8, False)):
        found = {"off_path-noise": [run(seed, dec_rounds) for seed in range(3)]}
        found |= dict.fromkeys(("off_path-condition", "off_path-imbalance", "off_path-tasks"), [])
        findings = off_path.PART.judge(found, str)
        assert by_claim(findings, "same floor").holds is True
        advantage = by_claim(findings, "advantage")
        assert advantage.measured == f"factor {dec_rounds / 2:.1f} at noise 0.1"
        assert advantage.holds is gone


@pytest.mark.parametrize("name", PARTS)
def test_nothing_measured_decides_nothing(name):
    found = {plan.name: [] for part in PARTS.values() for plan in part.plans(True)}
    verdicts = PARTS[name].judge(found, str).verdicts
    assert verdicts
    assert {v.holds for v in verdicts} == {None}


def test_a_condition_number_is_judged_by_iterations_to_the_same_error():
    """Dif a fifth slower keeps up, half as fast does not; the start fails where its distance is near 1 and stays."""
    for share, well in ((1 / 1.2, True), (1 / 2, False)):
        runs = []
        for seed in range(3):
            rows = trajectory(0.95**share, steps=300)
            methods = {CENTRAL: (central(300), trajectory(0.95, steps=300))}
            runs.append(fake(seed, methods | climbing("dif_altgdmin", (6,), lambda _, own=rows: own), condition=2.0))
            stuck = {CENTRAL: (central(300), trajectory(0.9999, steps=300))}
            runs.append(fake(seed, stuck | climbing("dif_altgdmin", (6,), lambda _, own=rows: own), condition=10.0))
        found = dict.fromkeys(("off_path-noise", "off_path-imbalance", "off_path-tasks"), []) | {"off_path-condition": runs}
        findings = off_path.PART.judge(found, str)
        kept = by_claim(findings, "keeps up")
        assert kept.holds is well
        assert kept.measured == ("in 3 of 3 runs; factors 1.2 to 1.2" if well else "in 0 of 3 runs; factors inf to inf")
        assert by_claim(findings, "initialization fails").holds is True


# -- plans ------------------------------------------------------------------------------------------------------------


def test_an_estimate_of_time_counts_every_round(tmp_path):
    methods = [*ladder("dif_altgdmin", (3,), 2), central(2)]
    table = experiment("some", 4, {"topology": "ring"}, methods, d=20, tasks=8)
    # a ring of 4 has gamma 1/3 and diameter 2: two rounds a sum, of which the initialization takes 1 + 2 * 6
    rounds = 13 * 2 + 2 * 3 + 7 + 2
    alone = 4 * (9e-5 * rounds + 7e-4 * 4)
    assert seconds(parse(table, tmp_path)) == pytest.approx(2.5 + 4 * 0.3 + alone)
    assert seconds(parse(table, tmp_path), starts=False) == pytest.approx(alone)


@pytest.mark.parametrize("quick", [True, False])
def test_plans_keep_to_their_limits(quick, tmp_path):
    """8 ranks at most and 1 seed when quick; else 5 seeds everywhere; all of it is read as mpidec sweep reads it."""
    for plan in {plan.name: plan for part in PARTS.values() for plan in part.plans(quick)}.values():
        sweep = plan.write(tmp_path)
        ranks = {run.experiment.ranks for run in sweep.runs}
        assert max(ranks) <= (8 if quick else 64)
        assert len({run.seed for run in sweep.runs}) == plan.seeds
        assert plan.seeds == 1 if quick else plan.seeds >= 5
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    plan.write(tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


def test_how_far_behind_is_read_by_iteration_whatever_was_observed():
    """Rows of every second iteration, errors 0.9^k and 0.95^k: at 1.3 times fewer than 220 iterations, 168, 0.9^168; the slower
    one takes log 0.9 / log 0.95 times as many, of which its 440 are enough.
    """
    fast, slow = ([{"step": float(k), METRIC: q**k} for k in range(0, last + 1, 2)] for q, last in ((0.9, 220), (0.95, 440)))
    run = SimpleNamespace(
        trace={CENTRAL: fast, "dif_altgdmin 6": slow},
        methods={"dif_altgdmin 6": {"algorithm": "dif_altgdmin", "gossip": "plain", "rounds": 6}},
    )
    assert off_path._behind(run) == pytest.approx(math.log(0.9) / math.log(0.95), abs=2 / 168)
