#!/usr/bin/env bash
# DeepSpeed 0.19.8 with torch 2.15.0 (CPU, gloo): an engine at ZeRO stage 3 that trained is never freed, nor are its
# weights and optimizer state, though it is destroyed and nothing of the program refers to it. A process that trains one
# model after the other, as workers of a hyperparameter search do, holds all of them. At stages 0, 1 and 2 all are freed.
# torch.nn.functional.linear stays replaced, too, so that later models at stage 0 run DeepSpeed's own linear layer.
# Expected: destroy() and the end of all references free an engine, whatever its stage.
# Output seen: {0: (0, 'linear'), 1: (0, 'linear'), 2: (0, 'linear'), 3: (5, 'zero3_linear_wrap')}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$folder/venv/bin/uv" pip install --quiet --python "$folder/venv/bin/python" \
    deepspeed==0.19.8 torch==2.15.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import os

os.environ |= {"DS_ACCELERATOR": "cpu", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1",
               "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29521"}
import gc
import weakref

import deepspeed
import torch

deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # needs no compiler
deepspeed.init_distributed("gloo")


def trained_and_destroyed(stage):
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Linear(64, 1))
    config = {
        "train_batch_size": 1,
        "optimizer": {"type": "AdamW", "params": {"lr": 1e-3, "torch_adam": True}},
        "zero_optimization": {"stage": stage},
    }
    engine, *_ = deepspeed.initialize(model=model, model_parameters=model.parameters(), config=config)
    engine.backward(engine(torch.ones(1, 64)).sum())
    engine.step()
    engine.destroy()
    return weakref.ref(engine), weakref.ref(model)


seen = {}
for stage in range(4):
    left = [trained_and_destroyed(stage) for _ in range(5)]
    gc.collect()
    alive = [sum(each() is not None for each in kind) for kind in zip(*left)]
    assert alive[0] == alive[1], alive  # an engine and its model
    seen[stage] = (alive[0], torch.nn.functional.linear.__name__)
print(seen)
assert seen == {0: (0, "linear"), 1: (0, "linear"), 2: (0, "linear"), 3: (5, "zero3_linear_wrap")}, seen
PYTHON
