"""The solvers of bench/portfolio.py, each in a process of its own: `python -m bench.portfolio_solvers <solver> <folder> --seconds S`.

A solver is a function (case) -> {what: a pass that returns weights}. Before a pass is timed its weights are held against the known
best: they must be feasible, and worth as much, to the tolerance that the solver is run at.
"""

# pyright: reportMissingImports=false
import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.worker import memory

SIZES = (10, 100, 500)
AVERSION = {"variance": 20.0, "deviation": 2.0}
BROAD = 200.0  # so averse that most assets are held: the active set's worst side, since it frees them one after another
AVERSIONS = AVERSION | {"wide": BROAD}
TOLERANCE = 1e-6  # of what the default settings of the conic solvers reach, infeasibility included


class Case(NamedTuple):
    n: int
    mean: np.ndarray
    covariance: np.ndarray
    means: np.ndarray  # the mean changed by 1 %, again and again
    start: np.ndarray  # the best weights before the change
    even: np.ndarray  # means and a covariance with which nearly all assets are held at the aversion of BROAD
    apart: np.ndarray


def active_set(case: Case) -> dict[str, Callable[[], Any]]:
    from kernels.portfolio import Covariance, Prepared, optimize_portfolio

    S = Covariance.checked(case.covariance)
    k, turn = AVERSION["variance"], turns(case)
    ready, broad, wide = Prepared(S, k), Prepared(S, BROAD), Prepared(case.apart, BROAD)
    capped = Prepared(S, k, caps=4 / case.n)
    costly, held = Prepared(S, k, turnover_cost=0.001), np.full(case.n, 1 / case.n)
    rooted = Prepared(S, AVERSION["deviation"], risk="deviation")
    return {
        "cold": lambda: ready.solve(case.mean),
        "warm": lambda: ready.solve(turn(), start=case.start),
        "broad": lambda: broad.solve(case.mean),
        "wide": lambda: wide.solve(case.even),
        "with the covariance checked": lambda: optimize_portfolio(case.mean, case.covariance, k),
        "capped": lambda: capped.solve(case.mean),
        "costly": lambda: costly.solve(case.mean, previous=held),
        "deviation": lambda: rooted.solve(case.mean),
    }


def jax_fista(case: Case) -> dict[str, Callable[[], Any]]:
    from kernels import portfolio_fista  # isort: skip

    import jax
    import jax.numpy as jnp

    def terms(risk):
        return portfolio_fista.Terms(*(jnp.asarray(a) for a in (case.mean, case.covariance, AVERSION[risk])))

    def solve(risk):
        found = portfolio_fista.solve(terms_of[risk], risk=risk)
        return jax.block_until_ready(found)

    terms_of = {risk: terms(risk) for risk in AVERSION}
    means = jnp.asarray(case.means)
    found = {"cold": lambda: solve("variance"), "deviation": lambda: solve("deviation")}
    if case.n == 100:
        found["scenarios"] = lambda: jax.block_until_ready(portfolio_fista.scenarios(terms_of["variance"], means))
    return found


def cvxpy(case: Case) -> dict[str, Callable[[], Any]]:
    import cvxpy as cp

    factor = np.linalg.cholesky(case.covariance)
    turn = turns(case)

    def problem(risk: str, mean):
        w = cp.Variable(case.n, nonneg=True)
        cost = cp.quad_form(w, cp.psd_wrap(case.covariance)) if risk == "variance" else cp.norm(factor.T @ w)
        return w, cp.Problem(cp.Maximize(mean @ w - AVERSION[risk] * cost), [cp.sum(w) == 1])

    def built(risk: str) -> Callable[[], Any]:
        def once():
            w, made = problem(risk, case.mean)
            made.solve(solver="CLARABEL")
            return w.value

        return once

    def again(risk: str, changes: bool, **settings) -> Callable[[], Any]:
        mean = cp.Parameter(case.n)
        w, made = problem(risk, mean)

        def once():
            mean.value = turn() if changes else case.mean
            made.solve(**settings)
            return w.value

        return once

    clarabel: dict[str, Any] = {"solver": "CLARABEL"}
    return {
        "cold": built("variance"),
        "re-solved": again("variance", False, **clarabel),
        "warm": again("variance", True, **clarabel),
        "deviation": again("deviation", False, **clarabel),
        "deviation by SCS": again("deviation", False, solver="SCS", eps_abs=1e-8, eps_rel=1e-8),
    }


def pypfopt(case: Case) -> dict[str, Callable[[], Any]]:
    from pypfopt import EfficientFrontier

    def once():
        frontier = EfficientFrontier(case.mean, case.covariance, solver="CLARABEL")
        frontier.max_quadratic_utility(risk_aversion=2 * AVERSION["variance"])
        return frontier.weights

    return {"cold": once}


def osqp(case: Case) -> dict[str, Callable[[], Any]]:
    import osqp
    import scipy.sparse as sp

    P = sp.triu(2 * AVERSION["variance"] * case.covariance, format="csc")
    A = sp.vstack([np.ones((1, case.n)), sp.eye(case.n)], format="csc")
    low, high = np.append(1.0, np.zeros(case.n)), np.append(1.0, np.full(case.n, np.inf))
    settings: dict[str, Any] = {"verbose": False, "eps_abs": 1e-8, "eps_rel": 1e-8, "polishing": True, "max_iter": 100_000}

    def once():
        solver = osqp.OSQP()
        solver.setup(P, -case.mean, A, low, high, **settings)
        return solver.solve().x

    return {"cold": once}


def piqp(case: Case) -> dict[str, Callable[[], Any]]:
    import piqp

    P, broad = (np.asfortranarray(2 * k * case.covariance) for k in (AVERSION["variance"], BROAD))
    wide = np.asfortranarray(2 * BROAD * case.apart)
    A, one, nought = np.ones((1, case.n)), np.ones(1), np.zeros(case.n)

    def ready(quadratic=P, mean=case.mean):
        solver = piqp.DenseSolver()
        solver.setup(quadratic, -mean, A=A, b=one, x_l=nought)
        return solver

    def once(quadratic=P, mean=case.mean):
        solver = ready(quadratic, mean)
        solver.solve()
        return np.array(solver.result.x)

    kept, turn, held = ready(), turns(case), ready(wide, case.even)

    def changed(solver=kept, mean=turn):
        solver.update(c=-mean())
        solver.solve()
        return np.array(solver.result.x)

    return {
        "cold": once,
        "warm": changed,
        "broad": lambda: once(broad),
        "wide": lambda: once(wide, case.even),
        "wide, set up before": lambda: changed(held, lambda: case.even),
    }


OURS = {"active set": active_set, "JAX": jax_fista}
PEERS = {"cvxpy": cvxpy, "PyPortfolioOpt": pypfopt, "OSQP": osqp, "piqp": piqp}


def turns(case: Case) -> Callable[[], np.ndarray]:
    at = 0

    def following() -> np.ndarray:
        nonlocal at
        at += 1
        return case.means[at % len(case.means)]

    return following


def value(case: Case, w: np.ndarray, risk: str) -> float:
    variance = float(w @ case.covariance @ w)
    return float(case.mean @ w) - AVERSIONS[risk] * (variance**0.5 if risk == "deviation" else variance)


def held(case: Case, what: str, found: Any, best: dict[str, float]) -> None:
    """Raise ValueError unless weights are feasible and as good as the best (where the problem is the common one)."""
    w = np.asarray(getattr(found, "weights", found))
    if what.startswith("wide"):
        case, risk = case._replace(mean=case.even, covariance=case.apart), "wide"
    elif what not in ("cold", "re-solved", "deviation", "deviation by SCS", "with the covariance checked"):
        return
    else:
        risk = "deviation" if "deviation" in what else "variance"
    if abs(w.sum() - 1) > TOLERANCE or w.min() < -TOLERANCE:
        raise ValueError(f"{what}, {case.n}: infeasible by {max(abs(w.sum() - 1), -w.min()):.3g}")
    if abs(value(case, w, risk) - best[risk]) > TOLERANCE:
        raise ValueError(f"{what}, {case.n}: worth {value(case, w, risk)!r} where {best[risk]!r} is the best")


def measure(once: Callable[[], Any], seconds: float, first: float, before: int) -> dict[str, Any]:
    times, cpu, end = [], [], time.perf_counter() + seconds
    while len(times) < 5 or (time.perf_counter() < end and len(times) < 20_000):
        used, begun = time.process_time(), time.perf_counter()
        once()
        times.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - used)
    peak = memory("VmHWM")
    return {"times": times, "cpu": cpu, "first": first, "peak": peak, "grown": max(0, peak - before)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.portfolio_solvers")
    parser.add_argument("solver", choices=[*OURS, *PEERS])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=0.2)
    asked = parser.parse_args()
    found: dict[str, Any] = {}
    for n in SIZES:
        with np.load(asked.folder / f"{n}.npz") as file:
            case = Case(n, file["mean"], file["covariance"], file["means"], file["start"], file["even"], file["apart"])
            best = {risk: float(file[risk]) for risk in (*AVERSION, "wide")}
        before = memory("VmRSS")
        for what, once in (OURS | PEERS)[asked.solver](case).items():
            begun = time.perf_counter()
            result = once()
            first = time.perf_counter() - begun
            held(case, what, result, best)
            found[f"{asked.solver}, {what}, {n}"] = measure(once, asked.seconds, first, before)
            if hasattr(result, "gap"):
                found[f"{asked.solver}, {what}, {n}"]["gap"] = float(np.max(result.gap))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
