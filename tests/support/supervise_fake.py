"""Supervises fake sessions: python supervise_fake.py SPACE.yaml OUT PLAN."""

import signal
import sys
from pathlib import Path

from rich.console import Console

from mtbert_ray.ray_backend.supervisor import supervise
from mtbert_ray.study.request import new_request

FAKE = Path(__file__).with_name("fake_session.py")

if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGHUP):  # Whoever runs the tests may ignore them, as nohup does.
        signal.signal(number, signal.SIG_DFL if number == signal.SIGHUP else signal.default_int_handler)
    space, out, plan = map(Path, sys.argv[1:])
    command = (sys.executable, str(FAKE), str(plan))
    request = new_request(space, out=out)
    sys.exit(supervise(request, address=None, verbose=False, console=Console(stderr=True), command=command))
