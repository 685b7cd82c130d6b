"""Portfolios of 10, 100 and 500 assets: the active set and the JAX form beside cvxpy, PyPortfolioOpt, OSQP and piqp."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.harness import Arrays, Bench, BenchError, Pass, Row, Taken, Variant
from bench.portfolio_solvers import AVERSION, BROAD, OURS, PEERS, SIZES, Case, active_set, jax_fista, value
from bench.runner import PEERS as PEERS_PYTHON
from bench.runner import ROOT, THREADS, Say, made, plain
from core.benches import missing

ROUNDS, SECONDS = 2, 0.15
CHANGES = 16


def market(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Means and a covariance of one factor for twenty assets (two at least) and an own variance each; the same every time."""
    random = np.random.default_rng(n)
    k = max(2, n // 20)
    loadings = random.normal(size=(n, k)) * 0.1 + 0.1 * (np.arange(k) == 0)
    covariance = loadings @ loadings.T + np.diag(random.uniform(0.01, 0.05, n))
    return random.normal(0.05, 0.05, n) + 0.2 * loadings[:, 0], 0.5 * (covariance + covariance.T)


def wide(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Means close to each other and a covariance of three factors, with which nearly all assets are held."""
    random = np.random.default_rng(n + 1)
    loadings = random.normal(size=(n, 3)) * 0.1
    return random.normal(0.05, 2.0 / n, n), loadings @ loadings.T + np.diag(random.uniform(0.01, 0.05, n))


def make(folder: Path, size: int) -> Mapping[str, Any]:
    from kernels.portfolio import optimize_portfolio

    for n in SIZES:
        mean, S = market(n)
        means = mean * (1 + 0.01 * np.random.default_rng(1).normal(size=(CHANGES, n)))
        best = {risk: optimize_portfolio(mean, S, k, risk=risk) for risk, k in AVERSION.items()}  # type: ignore[arg-type]
        even, apart = wide(n)
        case = Case(n, mean, S, means, best["variance"].weights, even, apart)
        worth = {risk: value(case, found.weights, risk) for risk, found in best.items()}
        np.savez(
            folder / f"{n}.npz",
            mean=mean,
            covariance=S,
            means=means,
            start=case.start,
            variance=worth["variance"],
            deviation=worth["deviation"],
            even=even,
            apart=apart,
            wide=optimize_portfolio(even, apart, BROAD).objective,
        )
    return {"n": size}


def rows() -> list[Row]:
    found = []
    for n in SIZES:
        unit = "us" if n < 500 else "ms"
        peers = tuple(f"{name}, cold, {n}" for name in PEERS)
        again = (f"cvxpy, cold, {n}", f"cvxpy, re-solved, {n}", f"PyPortfolioOpt, cold, {n}")
        prepared = f"piqp, wide, set up before, {n}"
        dev = (f"cvxpy, deviation, {n}", f"cvxpy, deviation by SCS, {n}")
        found += [
            Row(f"active set, {n} assets", unit, f"active set, cold, {n}", peers, target=5.0),
            Row(f"active set, {n} assets, most of them held", unit, f"active set, broad, {n}", (f"piqp, broad, {n}",), target=5.0),
            Row(f"active set, {n} assets, nearly all held", unit, f"active set, wide, {n}", (f"piqp, wide, {n}", prepared), target=5.0),
            Row(f"active set, {n} assets, means changed by 1 %", unit, f"active set, warm, {n}", (f"piqp, warm, {n}", f"cvxpy, warm, {n}")),
            Row(f"active set, {n} assets, covariance checked", unit, f"active set, with the covariance checked, {n}", peers),
            Row(f"active set, {n} assets, capped", unit, f"active set, capped, {n}"),
            Row(f"active set, {n} assets, turnover cost", unit, f"active set, costly, {n}"),
            Row(f"active set, {n} assets, deviation", unit, f"active set, deviation, {n}", dev, target=5.0),
            Row(f"JAX, {n} assets, against cvxpy built anew", unit, f"JAX, cold, {n}", (f"cvxpy, cold, {n}",), target=10.0),
            Row(f"JAX, {n} assets, against cvxpy re-solved", unit, f"JAX, cold, {n}", again[1:2]),
            Row(f"JAX, {n} assets, deviation", unit, f"JAX, deviation, {n}", dev),
        ]
    return [*found, Row(f"JAX, {CHANGES} scenarios of 100 assets, each", "us", "JAX, scenarios, 100", ("cvxpy, warm, 100",), work=1.0)]


def take(say: Say) -> list[dict[str, Any]]:
    if reason := missing():
        raise BenchError(reason)
    taken: dict[str, list[Taken]] = {}
    gaps: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="scalp-bench-portfolio-") as folder:
        make(Path(folder), max(SIZES))
        for i in range(ROUNDS):
            for solver in (*OURS, *PEERS):
                say(f"portfolio: {solver} ({i + 1} of {ROUNDS})")
                for name, one in solved(solver, Path(folder)).items():
                    if "gap" in one:
                        gaps[name] = max(one.pop("gap"), gaps.get(name, 0.0))
                    taken.setdefault(name, []).append(Taken(**one))
    for one in taken["JAX, scenarios, 100"]:
        one.times[:] = [t / CHANGES for t in one.times]
    held = "objective and feasibility within 1e-6 of the certified best"
    found = [made(BENCH, row, taken, {}) | {"held": held} for row in rows()]
    for method, bound, unit in (("active set", 1e-12, "e-12"), ("JAX", 1e-9, "e-9")):
        for n in SIZES:
            worst = max(gap for name, gap in gaps.items() if name.startswith(method) and name.endswith(f", {n}"))
            found.append(
                plain("portfolio", f"{method}, {n} assets, gap", unit, worst / bound, at_most=1.0, higher_is_better=False, n=ROUNDS)
            )
    return found


def solved(solver: str, folder: Path) -> dict[str, Any]:
    python = str(PEERS_PYTHON) if solver in PEERS else sys.executable
    env = os.environ | dict.fromkeys(THREADS, "1") | {"PYTHONPATH": str(ROOT)}
    command = [python, "-m", "bench.portfolio_solvers", solver, str(folder), "--seconds", str(SECONDS)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"portfolio, {solver}, ended with {done.returncode}:\n{done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.strip().rpartition("\n")[2])


def both(folder: Path) -> Pass:
    """Every compiled form once, for the measure of what compiling costs."""
    with np.load(folder / f"{SIZES[1]}.npz") as file:
        case = Case(SIZES[1], file["mean"], file["covariance"], file["means"], file["start"], file["even"], file["apart"])
    ours = [active_set(case)[what] for what in ("cold", "deviation")] + [jax_fista(case)[what] for what in ("cold", "deviation")]

    def once() -> Arrays:
        return {str(i): np.asarray(solve().weights) for i, solve in enumerate(ours)}

    return once


def check(results: Mapping[str, Arrays]) -> str:
    return "see take"  # each solver holds its own against the certified best before it is timed


BENCH = Bench("portfolio", "long-only portfolios", make, 10, 500, (Variant("ours", both, repeats=1, seconds=0.0),), (), check)
