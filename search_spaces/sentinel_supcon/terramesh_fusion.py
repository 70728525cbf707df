"""Do both sensors together tell real scenes apart better than each alone, and which fusion does it best?

The data are those of `sentinel_supcon_terramesh_seeds`, and the rate is the better one there. Without SupCon, which
would compare other views in each scenario. `thalweg show sentinel_supcon_terramesh_fusion --by sensors` gives mean and
spread of each.
"""

from thalweg.study import Study, Trial, grid
from trainables.sentinel_supcon.config import TERRAMESH, SentinelSupCon

GRID = grid(sensors=["s1", "s2", "concat", "mean", "gated", "attention"], seeds=5)

study = Study(
    metric="macro_recall", mode="max", samples=6144, num_evaluations=2, grid=GRID, keep_checkpoints=1
)


def space(trial: Trial) -> SentinelSupCon:
    cell = GRID.ask(trial)
    alone = cell["sensors"] in ("s1", "s2")
    model = {"scenario": cell["sensors"]} if alone else {"fusion": cell["sensors"]}
    return TERRAMESH.vary(
        seed=cell["seed"], model=model, tuning={"sup_delta": 0.0}, optimization={"lr": 1e-3}
    )
