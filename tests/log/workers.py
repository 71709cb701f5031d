"""Start `log_worker.py` in processes of its own."""

import os
import subprocess
import sys
from pathlib import Path

import aikit

HERE = Path(__file__).parent


def start(*arguments, code=None, overlay=None, **settings):
    """Start a worker, or a piece of code; `overlay` is a folder of packages that goes before the installed ones."""
    paths = [*([str(overlay)] if overlay else []), str(HERE.parent.parent), str(Path(aikit.__file__).parent.parent)]
    command = [sys.executable, str(HERE / "log_worker.py")] if code is None else [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen(
        [*command, *map(str, arguments)], env=environment, text=True, stdout=subprocess.PIPE, **settings
    )


def run(*arguments, timeout=120, **settings):
    """Run a worker to its end and return what it printed; its errors show in the failure."""
    process = start(*arguments, stderr=subprocess.PIPE, **settings)
    out, error = process.communicate(timeout=timeout)
    assert process.returncode == 0, error
    return out
