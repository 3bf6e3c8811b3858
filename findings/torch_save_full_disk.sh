#!/usr/bin/env bash
# Version:   torch 2.13.0, numpy 2.4.6, safetensors 0.8.0.
# Guess:     a file that may not grow any further, as on a full disk, is an OSError with an errno when a checkpoint is written.
# Behavior:  torch.save raises a RuntimeError about a position in its archive, without the file or any code of the system,
#            also in __cause__; numpy.save an OSError whose errno is None; safetensors an error of its own, with the code in
#            its text. Code that looks for OSError or ENOSPC finds none of the three.
# Source:    run here, with a limit on the size of a file (RLIMIT_FSIZE).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check "torch==2.13.0" "numpy==2.4.6" "safetensors==0.8.0"
"$folder/venv/bin/python" - "$folder" <<'PY'
import resource
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

folder = Path(sys.argv[1])
tensor = torch.zeros(1_000_000)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def raised(write):
    try:
        write()
    except Exception as error:
        causes = [error]
        while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
            causes.append(cause)
        codes = [getattr(each, "errno", None) for each in causes]
        print(f"{type(error).__module__}.{type(error).__name__}, errno {codes}: {str(error).splitlines()[0][:90]}")
        return error, codes
    raise AssertionError("nothing was raised")


of_torch, codes_of_torch = raised(lambda: torch.save({"weights": tensor}, folder / "torch.pt"))
of_numpy, codes_of_numpy = raised(lambda: np.save(folder / "numpy.npy", tensor.numpy()))
of_safetensors, _ = raised(lambda: save_file({"weights": tensor}, folder / "weights.safetensors"))
assert not isinstance(of_torch, OSError) and not any(codes_of_torch), "the behavior has changed"
assert isinstance(of_numpy, OSError) and not any(codes_of_numpy), "the behavior has changed"
assert not isinstance(of_safetensors, OSError) and "os error" in str(of_safetensors), "the behavior has changed"
PY
