"""From `ecg-serve up` to the first answer of /readyz, and where the seconds go."""

import httpx2
import numpy as np

from benchmarks.reporting import print_header
from benchmarks.server import running_server

TIMES = 3
LIMIT_S = 15.0


def main() -> None:
    print_header(f"Seconds from `ecg-serve up` to ready, demo model; {TIMES} starts each")
    medians = {}
    for profile in ("graph", "mono"):
        seconds = []
        for _ in range(TIMES):
            with running_server("--profile", profile) as (url, lines, ready_s):
                assert httpx2.get(f"{url}/readyz").status_code == 200
                seconds.append(ready_s)
        medians[profile] = float(np.median(seconds))
        spread = f"{min(seconds):.1f}-{max(seconds):.1f}"
        steps = ", ".join(line for line in lines if line.endswith(" s"))
        print(f"{profile:<6} median {medians[profile]:5.1f} s ({spread}); last: {steps}")
    print(f"ratio graph / mono: {medians['graph'] / medians['mono']:.2f}")
    assert medians["graph"] <= LIMIT_S, f"over {LIMIT_S} s"


if __name__ == "__main__":
    main()
