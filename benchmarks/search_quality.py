"""How good a search is at equal cost: the default against its peers, on problems with known optima, in simulated time.

A run is a problem (`search_problems`), a peer (`search_peers`), a number of lanes and a seed, which all peers share.
Its clock counts the training of a trial (1 to its end), a start of each trial (0.01), and the processor time that the
peer takes to suggest, as if a full training took ten minutes; one process suggests for all lanes. Cost is time x lanes.
What a run has found at a cost is the trial with the best last value of those that ran to the end (if none has, of those
that went furthest); its regret is without noise. It is divided by the median of random search at that cost: 0 is the
best known, 1 is random. Tables show geometric means over problems of medians over seeds; no median counts as less than
0.01, so that no problem which is solved exactly decides.

Twenty paired seeds (20 to 39) that chose nothing, 12 problems. Columns are trainings / lanes; those on the right are
the nine problems whose first rung does not mislead and the three where it does, on one lane:

                             5/1  10/1  25/1   5/4  10/4  25/4    fair 10  25   misled 10  25
  thalweg                    .83   .41   .22   .96   .72   .23        .38 .23         .56 .20
  thalweg by ends            .99   .72   .40  1.10   .96   .50        .64 .44        1.02 .30
  by ends, without stopping 1.10   .91   .45  1.10   .97   .57        .90 .52         .92 .30
  random + halving           .96   .93  1.00  1.03   .97  1.01        .77 .76        1.64 2.28
  random, top 2 of 8         .90   .93  1.07  1.06  1.00  1.08        .75 .81        1.72 2.44
  OptunaSearch + ASHA        .92   .81   .69  1.02   .84   .79        .65 .46        1.53 2.40
  Optuna TPE                1.00  1.00   .63  1.00  1.00   .80       1.00 .67        1.00 .53
  Optuna TPE + Hyperband     .94   .83   .60  1.01   .91   .81        .79 .51        1.00 .96
  Optuna GP                 1.00  1.00   .40  1.00  1.00   .51       1.00 .45        1.00 .28
  Syne Tune ASHA             .94   .94  1.00  1.02   .93  1.07        .83 .78        1.39 2.15
  Syne Tune ASHA + CQR*      .95   .84   .74  1.00   .88   .95        .77 .57        1.08 1.60
  SMAC3*                     .94   .87   .82   .94   .89   .82        .93 .89         .72 .64

* Three seeds (20 to 22). At 10 trainings the default has .51 of the regret of Ray's on one lane, where it is worse on
none of the problems, and .86 on four; at 25 it has .32 and .29, and is worse on one problem, `fusion`. It reaches the
median of Ray's at 25 at .43 and .48 of the cost. Where the first rung misleads it has, at 10, .64 of the regret of the
same sampler without stopping on one lane, and 1.00 on four.

With four lanes ten trainings are two and a half rounds: what counts then began by six, and one lane has .62 of random
search's regret at seven. So half of Ray's is out of reach there. Two changes were tried:

  1.19 in place of .94 of the misled with four lanes at 10, 1.17 for .96 of all at 5 (20 seeds): trials on other lanes
        are stopped as soon as two run that are sure to run to the end, instead of once one has ended; not kept
  1.01 +- .01 of its regret at 10, one lane, seeds 0 to 5: losses far behind the others are drawn near, for outliers'
        sake; kept, and the table is without it

The sampler by ends (`gp_tpe`) with `guarded_halving` proposes where the default cannot. Its first three trials run to
the end, with four lanes the first four and more, before a rung may stop one. With `successive_halving`, which stops
from the first trial on, the nine fair problems have .52 in place of .56 at 10 trainings on one lane, and .77 in place
of .91 on four (seeds 20 to 31).

For it none of these was better on seeds 0 to 2 (ratio of the regret to its own at 10 / 25, one lane, 17 to 32 pairs):

  1.35 / 1.13 +- .13  values that the process sees made normal (Yeo-Johnson); worse half by ranks 1.14 / 1.21
  1.34 / 1.60 +- .15  every second trial by TPE
  1.26 /  .99 +- .05  ends of stopped trials by a line instead of the median gain; no worse than the worst 1.20 / 1.05
  1.17 /  .85 +- .17  rungs stop after two trials; after one 1.42 / 1.44
   .98 / 1.05 +- .06  one in four passes a rung
  1.26 / 1.23 +- .30  rungs stop from the start, but never every third trial

Candidates for it, one lane, seed 0 alone, at 10 / 25 and, on the three problems whose first rung misleads, at 25:

  .40 / .19 and .15  as it is: rungs trusted together from a correlation of .5, three trials first run to the end
  .38 / .27 and .76  each rung trusted by itself: one that misleads hides its errors from later ones
  .48 / .33 and .98  by itself, from .3, four trials first
  .69 / .46 and 2.25  no trust asked for, stopped trials shown with their best value so far
  .46 / .19 and .15  as it is, and every fifth trial never stopped
  .58 / .48 and .36  as it is, with three start-up trials
  .60 / .20 and .15  no early stopping
  .65 / .57 and 2.06  TPE with five start-up trials, halving

Schedulers that promote or rank softly have not beaten it. Geometric mean of the regret divided by that of guarded
halving at 10 / 25, over 26 to 28 pairs (8 problems, seeds from 3 on, one lane), with random search, so that they alone
differ; its standard error at 25, and pairs that are better : worse at 25:

   .97 / 1.10  +- .05  2:5  promotion (ASHA); at 10 better in 11 pairs, worse in 2
  1.00 / 1.05  +- .04  0:5  guarded promotion
   .96 / 1.02  +- .04  1:3  soft ranking
   .98 / 1.06  +- .06  3:6  soft ranking, where the noise of an evaluation is 10 % instead of 2 %

With `gp_tpe`, seed 3, at 25: guarded promotion is better in 0 and worse in 3 of 7 runs on one lane, and
equal in all 3 on four. Promotion without a guard had 7 times the regret, for two of its 3 problems mislead.

Run:  python benchmarks/search_quality.py [--quick] [--seeds N] [--peers NAME ...] [--runs FILE] [--json FILE]
Needs `ioh`, and takes SMAC3 and Syne Tune along if they are installed: uv sync --group benchmarks. Runs that the file
of --runs holds are not repeated; it can be ended at any time and continued.
"""

import argparse
import heapq
import json
import math
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.figures import Figures, tell
from benchmarks.search_peers import (
    CANDIDATES,
    OURS,
    OWN,
    PEERS,
    RAY,
    UNSTOPPED,
    Job,
    MakePeer,
    missing,
    quiet,
)
from benchmarks.search_problems import NUM_EVALUATIONS, Problem, problems

COSTS = (5, 10, 25, 50)
LANES = (1, 4)
START = 0.01
FULL_S = 600.0
FLOOR = 0.01


@dataclass
class Run:
    """What one run found.

    Attributes:
        problem: Name of the problem.
        peer: Name of the peer.
        lanes: Number of lanes.
        seed: The seed.
        found: Cost, and regret from there on, whenever what it has found changes.
        trials: Trials that it began.
        ended: Share of the trials that ran to the end.
        suggest_s: Processor seconds per trial that it took to suggest and to take results.
        until: Cost at which it ended.
    """

    problem: str
    peer: str
    lanes: int
    seed: int
    found: list[tuple[float, float]]
    trials: int
    ended: float
    suggest_s: float
    until: float = COSTS[-1]

    @property
    def key(self) -> tuple[str, str, int, int]:
        """Tells runs apart."""
        return self.problem, self.peer, self.lanes, self.seed

    def regret(self, cost: float) -> float:
        """Returns the regret at a cost; infinite before the first evaluation."""
        return next((regret for at, regret in reversed(self.found) if at <= cost), math.inf)

    def cost(self, regret: float) -> float:
        """Returns the cost from which on a regret is never exceeded again; infinite if there is none."""
        reached = math.inf
        for at, found in reversed(self.found):
            if found > regret:
                break
            reached = at
        return reached


class Replay:
    """Runs a peer on a problem in simulated time.

    Args:
        problem: The problem.
        make: Makes the peer.
        lanes: Trials that train at the same time.
        seed: Seed of the peer and of the noise.
        full: Cost at which it ends, in full trainings.
    """

    def __init__(self, problem: Problem, make: MakePeer, lanes: int, seed: int, full: float) -> None:
        self._problem = problem
        self._peer = make(problem, seed)
        self._lanes = lanes
        self._full = full
        self._seed = seed
        self._events: list[tuple[float, int, Job]] = []  # end of the next evaluation, number of the job, job
        self._free = 0.0  # when the process that suggests is free
        self._best = (0, math.inf)
        self.found: list[tuple[float, float]] = []
        self.used_s, self.num_trials, self.num_ended = 0.0, 0, 0

    def run(self) -> None:
        """Runs to the end."""
        for _ in range(self._lanes):
            self._begin(0.0)
        while self._events[0][0] * self._lanes <= self._full:
            now, _, job = heapq.heappop(self._events)
            self._evaluate(now, job)

    def _begin(self, now: float) -> None:
        began = time.thread_time()
        job = self._peer.suggest()
        taken = time.thread_time() - began
        self.used_s += taken
        self._free = max(self._free, now) + taken / FULL_S
        if job.number is None:
            job.number, self.num_trials = self.num_trials, self.num_trials + 1
            noise = np.random.default_rng((self._seed, job.number)).standard_normal(NUM_EVALUATIONS)
            job.curve = (self._problem.values(job.params) + self._problem.noise * noise).tolist()
        self._push(self._free + START, job)

    def _push(self, now: float, job: Job) -> None:
        assert job.number is not None
        heapq.heappush(self._events, (now + 1 / NUM_EVALUATIONS, job.number, job))

    def _evaluate(self, now: float, job: Job) -> None:
        job.seen.append(float(job.curve[job.reached]))
        job.reached += 1
        if (-job.reached, job.seen[-1]) < self._best:
            self._best = (-job.reached, job.seen[-1])
            self.found.append((now * self._lanes, self._problem.regret(job.params)))
        began = time.thread_time()
        done = job.reached == NUM_EVALUATIONS
        decision = "stop" if done else self._peer.report(job, job.seen[-1])
        if decision == "stop":
            self._peer.end(job, stopped=not done)
            self.num_ended += done
        self.used_s += time.thread_time() - began
        if decision == "go":
            self._push(now, job)
        else:
            self._begin(now)


def replay(problem: Problem, peer: str, lanes: int, seed: int, full: float) -> Run:
    """Runs a peer on a problem."""
    replayed = Replay(problem, (PEERS | CANDIDATES)[peer], lanes, seed, full)
    replayed.run()
    num = replayed.num_trials
    ended, each_s = round(replayed.num_ended / num, 3), round(replayed.used_s / num, 4)
    found = [(round(cost, 4), float(f"{regret:.6g}")) for cost, regret in replayed.found]
    return Run(problem.name, peer, lanes, seed, found, num, ended, each_s, full)


class Results:
    """Normalized regrets of runs.

    Args:
        runs: Runs of several peers, random search among them, on some problems.
    """

    def __init__(self, runs: Iterable[Run]) -> None:
        self._runs: dict[tuple[str, str, int], list[Run]] = {}
        for run in runs:
            self._runs.setdefault((run.problem, run.peer, run.lanes), []).append(run)
        self.problems = tuple(dict.fromkeys(problem for problem, _, _ in self._runs))
        self.peers = tuple(
            peer for peer in (*PEERS, *CANDIDATES) if any(peer == key[1] for key in self._runs)
        )

    def num_seeds(self, peer: str, lanes: int, cost: float) -> int:
        """Returns the smallest number of seeds of a peer with which it went as far as a cost."""
        return min(len(self._all(problem, peer, lanes, cost)) for problem in self.problems)

    def median(self, problem: str, peer: str, lanes: int, cost: float) -> float:
        """Returns the median regret of a peer."""
        return statistics.median(run.regret(cost) for run in self._all(problem, peer, lanes, cost))

    def _all(self, problem: str, peer: str, lanes: int, cost: float) -> list[Run]:
        return [run for run in self._runs.get((problem, peer, lanes), ()) if run.until >= cost]

    def regret(self, problem: str, peer: str, lanes: int, cost: float) -> float:
        """Returns the median regret of a peer, divided by that of random search at the same cost."""
        found = self.median(problem, peer, lanes, cost)
        return max(FLOOR, found / self.median(problem, "random", lanes, cost))

    def mean(self, peer: str, lanes: int, cost: float, among: Sequence[str] = ()) -> float:
        """Returns the geometric mean over problems of the median normalized regret; NaN if runs ended before."""
        if not all(self.num_seeds(name, lanes, cost) for name in (peer, "random")):
            return math.nan
        return geomean(self.regret(problem, peer, lanes, cost) for problem in among or self.problems)

    def saving(self, peer: str, lanes: int, cost: float = 25) -> float:
        """Returns the share of a cost at which the default's median reaches a peer's median, as a geometric mean."""
        shares = []
        for problem in self.problems:
            aim = max(
                self.median(problem, peer, lanes, cost),
                FLOOR * self.median(problem, "random", lanes, cost),
            )
            ours = self._all(problem, OURS, lanes, cost)
            costs = sorted({at for run in ours for at, _ in run.found if at <= cost})
            reached = (at for at in costs if self.median(problem, OURS, lanes, at) <= aim)
            shares.append(next(reached, 2 * cost) / cost)
        return geomean(shares)

    def best_peer(self, lanes: int, cost: float) -> str:
        """Returns the peer with the least mean regret."""
        peers = (peer for peer in self.peers if peer in PEERS and peer not in OWN)
        return min(peers, key=lambda peer: self.mean(peer, lanes, cost))

    def timing(self, peer: str, lanes: int) -> tuple[float, float]:
        """Returns means over runs: the share of trials that ran to the end, and seconds to suggest one."""
        runs = [
            run for (_, name, num), each in self._runs.items() if (name, num) == (peer, lanes) for run in each
        ]
        return statistics.mean(run.ended for run in runs), statistics.mean(run.suggest_s for run in runs)


def geomean(values: Iterable[float]) -> float:
    """Returns the geometric mean."""
    return math.exp(statistics.mean(map(math.log, values)))


def figures(
    results: Results, misleading: Sequence[str], lanes: Sequence[int], costs: Sequence[float] = COSTS
) -> list[Mapping[str, object]]:
    """Returns the figures that have goals, for each number of lanes, at costs that all runs have reached."""
    rows = Figures()
    for num in lanes:
        told = f"{num} lane{'s' * (num > 1)}"
        for cost in [each for each in costs if each in (10, 25)]:
            ratio = results.mean(OURS, num, cost) / results.mean(RAY, num, cost)
            rows.add(f"{told}, {cost} trainings: regret / {RAY}", [ratio], "1", "at most 0.5")
        if 25 in costs:
            rows.add(
                f"{told}: cost to reach its regret at 25, / 25",
                [results.saving(RAY, num)],
                "1",
                "at most 0.5",
            )
        for cost in costs:
            best = results.best_peer(num, cost)
            pairs = [
                (results.regret(name, OURS, num, cost), results.regret(name, best, num, cost))
                for name in results.problems
            ]
            share = statistics.mean(ours <= theirs for ours, theirs in pairs)
            rows.add(
                f"{told}, {cost} trainings: problems not worse than best peer ({best})",
                [share],
                "1",
                "at least 0.7",
            )
            ratio = results.mean(OURS, num, cost) / results.mean(best, num, cost)
            rows.add(f"{told}, {cost} trainings: regret / best peer ({best})", [ratio], "1", "at most 1.3")
            if misleading:
                ratio = results.mean(OURS, num, cost, misleading) / results.mean(
                    UNSTOPPED, num, cost, misleading
                )
                rows.add(f"{told}, {cost} trainings: misled, / {UNSTOPPED}", [ratio], "1", "at most 1.1")
    return list(rows.rows)


def table(results: Results, lanes: Sequence[int]) -> Iterator[str]:
    """Yields the lines of the table of regrets."""
    heads = "".join(f"{f'{cost}/{num}':>7}" for num in lanes for cost in COSTS)
    last = COSTS[-2:]
    yield f"{'normalized regret at trainings/lanes':36}{heads}  seeds at {last[0]} / {last[1]} ended s/trial"
    for peer in results.peers:
        cells = "".join(f"{results.mean(peer, num, cost):7.2f}" for num in lanes for cost in COSTS)
        ended, each_s = results.timing(peer, lanes[0])
        seeds = " / ".join(str(min(results.num_seeds(peer, num, cost) for num in lanes)) for cost in last)
        yield f"{peer:36}{cells}{seeds:>17}{ended:6.2f}{each_s:8.3f}"


def by_problem(results: Results, lanes: int, cost: float) -> Iterator[str]:
    """Yields the lines of a table of problems."""
    yield f"{f'at {cost} trainings, {lanes} lanes':36}" + "".join(
        f"{name[:9]:>10}" for name in results.problems
    )
    for peer in results.peers:
        cells = (results.regret(problem, peer, lanes, cost) for problem in results.problems)
        yield f"{peer:36}" + "".join(f"{cell:10.3f}" for cell in cells)


def stored(file: Path | None) -> list[Run]:
    """Returns the runs that a file holds."""
    if file is None or not file.exists():
        return []
    return [Run(**json.loads(line)) for line in file.read_text().splitlines()]


def run_all(
    peers: Sequence[str],
    lanes: Sequence[int],
    seeds: Sequence[int],
    full: float,
    file: Path | None,
    among: Sequence[str] = (),
) -> Iterator[Run]:
    """Yields all runs, seed after seed, so that it can be ended at any time; those that the file holds come first."""
    known = {run.key: run for run in stored(file)}
    for seed in seeds:
        for problem in [problem for problem in problems() if not among or problem.name in among]:
            for num in lanes:
                for peer in peers:
                    run = known.get((problem.name, peer, num, seed))
                    if run is None or run.until < full:
                        run = replay(problem, peer, num, seed, full)
                        if file:
                            with file.open("a") as lines:
                                lines.write(json.dumps(asdict(run)) + "\n")
                    yield run
        print(f"seed {seed} done", file=sys.stderr)


def main() -> None:
    """Runs the peers, and prints tables and figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="two seeds, one lane, without SMAC3 and Syne Tune"
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--peers", nargs="+", choices=PEERS | CANDIDATES, help="only these")
    parser.add_argument("--problems", nargs="+", help="only these, of search_problems")
    parser.add_argument("--lanes", type=int, nargs="+", default=LANES)
    parser.add_argument("--until", type=float, default=COSTS[-1], help="cost at which runs end, in trainings")
    parser.add_argument("--runs", type=Path, help="file of the runs, read and extended")
    parser.add_argument("--told", action="store_true", help="run nothing, tell what the file of --runs holds")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    quiet()
    lacking = {} if args.told else missing()
    for name, package in lacking.items():
        print(f"skipped: {name}, for {package} is not installed", file=sys.stderr)
    chosen = [name for name in args.peers or PEERS if name not in lacking]
    lanes, num_seeds = ([1], 2) if args.quick else (args.lanes, args.seeds)
    seeds = range(args.first_seed, args.first_seed + num_seeds)
    if args.quick:
        chosen = [name for name in chosen if not name.startswith(("SMAC", "Syne"))]
    runs = (
        stored(args.runs)
        if args.told
        else list(run_all(chosen, lanes, seeds, args.until, args.runs, args.problems or ()))
    )
    results = Results(run for run in runs if run.lanes in lanes)
    print("\n".join(table(results, lanes)))
    for num in lanes:
        print("\n" + "\n".join(by_problem(results, num, min(25, args.until))))
    misleading = [problem.name for problem in problems() if problem.misleads]
    print(f"\nthe first evaluation misleads in {', '.join(misleading)}\n")
    if {OURS, UNSTOPPED, RAY, "random"} <= set(results.peers):
        reached = [cost for cost in COSTS if all(results.num_seeds(OURS, num, cost) for num in lanes)]
        tell(figures(results, misleading, lanes, reached), args.json)


if __name__ == "__main__":
    main()
