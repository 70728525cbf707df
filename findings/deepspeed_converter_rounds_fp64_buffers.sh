#!/usr/bin/env bash
# DeepSpeed 0.19.8 with torch 2.15.0 (CPU, gloo): zero_to_fp32, which turns a ZeRO checkpoint into a state dict, rounds
# fp64 buffers to fp32, such as running sums and statistics of a normalisation or coordinates in metres; int64 and bool
# buffers keep their type. torch.load of the very file that it reads has the fp64 values whole.
# Expected: a state dict like the model's own, in which only weights that trained in 16 bits change their type.
# Output seen: {'seconds': ('torch.int64', 1700000001.0), 'mean': ('torch.float32', 0.10000000149011612), 'valid': ('torch.bool', 1.0)}
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
               "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29519"}
import deepspeed
import torch
from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # needs no compiler
deepspeed.init_distributed("gloo")


class Field(torch.nn.Linear):
    def __init__(self):
        super().__init__(4, 2)
        self.register_buffer("seconds", torch.tensor(1_700_000_001))
        self.register_buffer("mean", torch.tensor(0.1, dtype=torch.float64))
        self.register_buffer("valid", torch.tensor(True))


model = Field()
config = {
    "train_batch_size": 1,
    "optimizer": {"type": "AdamW", "params": {"lr": 1e-3, "torch_adam": True}},
    "zero_optimization": {"stage": 1},
}
engine, *_ = deepspeed.initialize(model=model, model_parameters=model.parameters(), config=config)
engine.backward(engine(torch.ones(1, 4)).sum())
engine.step()
engine.save_checkpoint("checkpoint", tag="weights")
kept = torch.load("checkpoint/weights/mp_rank_00_model_states.pt", weights_only=False)["module"]
assert [str(kept[name].dtype) for name in ("seconds", "mean", "valid")] == ["torch.int64", "torch.float64", "torch.bool"]
found = get_fp32_state_dict_from_zero_checkpoint("checkpoint", tag="weights")
seen = {name: (str(found[name].dtype), float(found[name])) for name in ("seconds", "mean", "valid")}
print(seen)
assert seen == {
    "seconds": ("torch.int64", 1700000001.0),
    "mean": ("torch.float32", 0.10000000149011612),
    "valid": ("torch.bool", 1.0),
}, seen
PYTHON
