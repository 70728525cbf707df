#!/usr/bin/env bash
# torch 2.15.0 (CPU): a model is built under `torch.device("meta")` to count its parameters, which should cost next to
# nothing. The first out-of-place arithmetic on a meta tensor (`a * 2`, `torch.exp(a)`, `torch.cat`) imports
# `torch._dynamo` and hundreds of other modules; in-place arithmetic (`a.mul_(2)`) and sums import none of them. A table
# of sines or a scaled initial value in a constructor is enough.
# Expected: no compiler for tensors that hold no values.
# Output seen: {'ones': False, 'mul_': False, 'sum': False, 'mul': True, 'exp': True, 'cat': True}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$folder/venv/bin/uv" pip install --quiet --python "$folder/venv/bin/python" torch==2.15.0 numpy==2.4.6
cd "$folder"
cat > meta.py <<'PYTHON'
import sys

import torch

ways = {
    "ones": lambda a: a,
    "mul_": lambda a: a.mul_(2),
    "sum": lambda a: a.sum(),
    "mul": lambda a: a * 2,
    "exp": lambda a: torch.exp(a),
    "cat": lambda a: torch.cat((a, a)),
}
assert "torch._dynamo" not in sys.modules
with torch.device("meta"):
    ways[sys.argv[1]](torch.ones(3))
print("torch._dynamo" in sys.modules)
PYTHON
"$folder/venv/bin/python" - <<'PYTHON'
import subprocess
import sys

seen = {}
for way in ("ones", "mul_", "sum", "mul", "exp", "cat"):
    run = subprocess.run([sys.executable, "meta.py", way], capture_output=True, text=True, check=True)
    seen[way] = run.stdout.strip() == "True"
print(seen)
assert seen == {"ones": False, "mul_": False, "sum": False, "mul": True, "exp": True, "cat": True}, seen
PYTHON
