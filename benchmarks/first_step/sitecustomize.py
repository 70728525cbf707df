"""Notes when a process takes its first optimizer step: Python imports this if its folder is on ``PYTHONPATH``.

The moment, in seconds since 1970, is appended to the file that ``FIRST_STEP`` names. Steps of models of less than 100
parameters do not count: workers warm up with one.
"""

import os
import sys
import time
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

_MODULE = "torch.optim.optimizer"


class _Watch(MetaPathFinder):
    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """Finds the module of optimizers, and lets it be watched once it has run."""
        if fullname != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(fullname, path)
        assert spec is not None and spec.loader is not None
        loader: Any = spec.loader
        run = loader.exec_module

        def run_and_watch(module: Any) -> None:
            run(module)
            module.register_optimizer_step_post_hook(lambda optimizer, *_: _note(optimizer))

        loader.exec_module = run_and_watch
        return spec


def _note(optimizer: Any) -> None:
    size = sum(each.numel() for group in optimizer.param_groups for each in group["params"])
    if size >= 100 and not _NOTED:
        _NOTED.append(time.time())
        with open(os.environ["FIRST_STEP"], "a") as file:
            file.write(f"{_NOTED[0]}\n")


_NOTED: list[float] = []

if "FIRST_STEP" in os.environ:
    sys.meta_path.insert(0, _Watch())
