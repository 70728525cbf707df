#!/usr/bin/env bash
# DeepSpeed 0.19.8 with torch 2.15.0 (CPU, gloo): bf16 with ZeRO stage 1 whose gradients are to be added up in fp32
# (data_types.grad_accum_dtype "fp32") is trained by another optimizer class, BF16_Optimizer, which writes a checkpoint
# that DeepSpeed's own zero_to_fp32 refuses as no ZeRO checkpoint. At stage 2 the same configuration is converted, and
# at stage 1 without the setting too.
# Expected: the setting changes how gradients are added up, not whether weights can be got back.
# Output seen: {'stage 1': 'converted', 'stage 1, fp32 sums': '... is not a zero checkpoint', 'stage 2, fp32 sums': 'converted'}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$folder/venv/bin/uv" pip install --quiet --python "$folder/venv/bin/python" \
    deepspeed==0.19.8 torch==2.15.0 numpy==2.4.6
cd "$folder"
cat > save.py <<'PYTHON'
import os
import sys

os.environ |= {"DS_ACCELERATOR": "cpu", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1",
               "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29518"}
import deepspeed
import torch
from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # needs no compiler
deepspeed.init_distributed("gloo")
stage, sums, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
config = {
    "train_batch_size": 1,
    "bf16": {"enabled": True},
    "optimizer": {"type": "AdamW", "params": {"lr": 1e-3, "torch_adam": True}},
    "zero_optimization": {"stage": stage},
    **({"data_types": {"grad_accum_dtype": "fp32"}} if sums == "fp32" else {}),
}
model = torch.nn.Linear(4, 2)
engine, *_ = deepspeed.initialize(model=model, model_parameters=model.parameters(), config=config)
engine.backward(engine(torch.ones(1, 4, dtype=torch.bfloat16)).sum())
engine.step()
engine.save_checkpoint(folder, tag="weights")
try:
    get_fp32_state_dict_from_zero_checkpoint(folder, tag="weights")
    print("SEEN converted")
except ValueError as error:
    print("SEEN ..." + str(error)[-len(" is not a zero checkpoint"):])
PYTHON
"$folder/venv/bin/python" - <<'PYTHON'
import subprocess
import sys

cases = {"stage 1": ("1", "as they are"), "stage 1, fp32 sums": ("1", "fp32"), "stage 2, fp32 sums": ("2", "fp32")}
seen = {}
for number, (name, case) in enumerate(cases.items()):
    command = [sys.executable, "save.py", *case, f"checkpoint-{number}"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    (line,) = [line for line in run.stdout.splitlines() if line.startswith("SEEN ")]
    seen[name] = line.removeprefix("SEEN ")
print(seen)
refused = "... is not a zero checkpoint"
assert seen == {"stage 1": "converted", "stage 1, fp32 sums": refused, "stage 2, fp32 sums": "converted"}, seen
PYTHON
