#!/usr/bin/env bash
# ray 2.60.0: forks of a process that has imported ray draw different object ids, and forks of one that has imported
# ray.train as well draw the same, one after another. Ray's native generator is seeded at its first use, and the import
# of ray.train uses it: each class of actors that ray.data defines draws an id. So a process that preloads Ray Train and
# forks its workers, as a fork server does, gets workers that give different objects one id.
# Expected: ids that differ after a fork, or an import that draws none.
# Output seen: ray: 3 different ids in 3 forks
#              ray.train: 1 different ids in 3 forks
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "ray[train]==2.60.0"
cd "$folder"
cat > fork.py <<'PYTHON'
import importlib
import os
import sys

import ray

importlib.import_module(sys.argv[1])
drawn = set()
for _ in range(3):
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, ray.ObjectRef.from_random().binary())
        os._exit(0)
    os.wait()
    drawn.add(os.read(reading, 64))
print(f"{sys.argv[1]}: {len(drawn)} different ids in 3 forks")
sys.exit(len(drawn) != {"ray": 3, "ray.train": 1}[sys.argv[1]])
PYTHON
"$folder/venv/bin/python" fork.py ray
"$folder/venv/bin/python" fork.py ray.train
