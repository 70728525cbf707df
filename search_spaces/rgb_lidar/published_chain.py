"""How well do images alone tell what scans taught, before fine-tuning and after it, in both published chains?

Each stage trains for its published number of epochs: 10, 5 and 15 in the first chain, 3, 5, 40 and 5 in the second. The
first ended there; here it is fine-tuned for the rest of the 53 epochs, so that `thalweg best` tells its published end
beside what fine-tuning makes of it. An evaluation is an epoch of the 2,800 default scenes: `contrastive_loss_32` falls
over the first ten as it was published. For 14,000 real scenes add ``--dataset cubes-spheres --samples 742000``. The
models have 21 and 5 million parameters: a study for a GPU.
"""

from thalweg.study import Study, Trial, grid
from trainables.rgb_lidar.config import PRESETS, RGBLidar

NUM_SCENES = 2800
NUM_EPOCHS = 53
CHAINS = {
    "first": PRESETS["first_chain"].vary(
        model={"stages": ("cilp", "classifier", "projector", "finetune"), "shares": {"finetune": 23}}
    ),
    "second": PRESETS["second_chain"],
}
GRID = grid(chain=["first", "second"], seed=[51, 42, 0])

study = Study(
    metric="cross_entropy",
    mode="min",
    samples=NUM_EPOCHS * NUM_SCENES,
    num_evaluations=NUM_EPOCHS,
    grid=GRID,
)


def space(trial: Trial) -> RGBLidar:
    cell = GRID.ask(trial)
    return CHAINS[cell["chain"]].vary(dataset="default", seed=cell["seed"])
