#!/usr/bin/env bash
# DeepSpeed 0.19.8 with torch 2.15.0 (CPU, gloo): fp16 with ZeRO stage 0. `engine.backward(loss)` does not multiply the
# loss by the loss scale, yet `engine.step()` divides the gradients by it. At a scale of 256 the gradient of a
# weight is 1.0 after `backward` where stages 1 and 2 hold 256, so the optimizer sees 1/256 of the gradient:
# small ones vanish below AdamW's eps, and the range that fp16 lacks is not won.
# Shown with SGD at rate .5 and a gradient of 1: what arrives at the weight, and how far the step moves it by the rate.
# Expected: all stages scale alike.
# Output seen: {0: (1.0, 0.0), 1: (256.0, 1.0), 2: (256.0, 1.0)}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$folder/venv/bin/uv" pip install --quiet --python "$folder/venv/bin/python" \
    deepspeed==0.19.8 torch==2.15.0 numpy==2.4.6
cd "$folder"
cat > scale.py <<'PYTHON'
import os
import sys

os.environ |= {"DS_ACCELERATOR": "cpu", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1",
               "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29517"}
import deepspeed
import torch

deepspeed.accelerator.get_accelerator().is_fp16_supported = lambda: True  # torch's slower kernels do, on any CPU
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # needs no compiler
deepspeed.init_distributed("gloo")
model = torch.nn.Linear(1, 1, bias=False)
config = {
    "train_batch_size": 1,
    "fp16": {"enabled": True, "initial_scale_power": 8},
    "optimizer": {"type": "SGD", "params": {"lr": 0.5}},
    "zero_allow_untested_optimizer": True,
    "gradient_clipping": 0.0,
    "zero_optimization": {"stage": int(sys.argv[1])},
}
engine, *_ = deepspeed.initialize(model=model, model_parameters=model.parameters(), config=config)
seen = []
weight = next(engine.module.parameters())
weight.register_hook(lambda gradient: seen.append(float(gradient.sum())))
before = float(weight)
engine.backward(engine(torch.ones(1, 1, dtype=torch.float16)).sum())
engine.step()
print("SEEN", seen[-1], round((before - float(weight)) / 0.5, 2))
PYTHON
"$folder/venv/bin/python" - <<'PYTHON'
import subprocess
import sys

seen = {}
for stage in (0, 1, 2):
    run = subprocess.run([sys.executable, "scale.py", str(stage)], capture_output=True, text=True, check=True)
    (line,) = [line for line in run.stdout.splitlines() if line.startswith("SEEN")]
    seen[stage] = tuple(map(float, line.split()[1:]))
print(seen)
assert seen == {0: (1.0, 0.0), 1: (256.0, 1.0), 2: (256.0, 1.0)}, seen
PYTHON
