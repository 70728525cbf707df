#!/usr/bin/env bash
# optuna 5.0.0: `Study.enqueue_trial(params, skip_if_exists=True)` also skips parameters that no trial has: numbers are
# compared by `numpy.isclose` with its relative tolerance of 1e-5, integers too. Of a grid over the seeds 200000 and
# 200001, or over two times in seconds, one is silently left out.
# Expected: only equal parameters are skipped, at least of integers.
# Output seen: 1 of 2 seeds and 1 of 2 rates wait
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
"$folder/venv/bin/uv" pip install --quiet --python "$folder/venv/bin/python" optuna==5.0.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import optuna

optuna.logging.set_verbosity(optuna.logging.WARNING)
waiting = []
for name, values in (("seed", (200000, 200001)), ("rate", (0.1, 0.1000005))):
    study = optuna.create_study()
    for value in values:
        study.enqueue_trial({name: value}, skip_if_exists=True)
    waiting.append(len(study.get_trials(states=(optuna.trial.TrialState.WAITING,))))
print(waiting[0], "of 2 seeds and", waiting[1], "of 2 rates wait")
assert waiting == [1, 1], waiting
PYTHON
