"""Times a download of ours against curl's, from a Hub on the loopback, in pairs.

    python scripts/compare_curl.py              # 300 MB, as fast as the loopback gives them
    python scripts/compare_curl.py --rate 25M   # each connection gives 25 MB/s

Three rows: curl writing one file; `fetch`, the downloader alone, which hashes too; and the whole
command `localmix pull`, from its start to its end. All write to the same folder. The Hub is the one
of the tests, in a process of its own.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
REPO, FILE = "owner/Model-GGUF", "m-Q4_K_M.gguf"

FETCH = """
import resource, sys, time
from pathlib import Path
from localmix.registry.download.transfer import fetch
from localmix.registry.hub import Hub
hub = Hub.from_environ()
listing = hub.list_files(sys.argv[1])
[file] = listing.files.values()
link = lambda: hub.link(sys.argv[1], listing.revision, file)
start = time.perf_counter()
fetch(file, Path(sys.argv[2]), link, lambda progress: None)
seconds = time.perf_counter() - start
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", default="300M")
    parser.add_argument("--rate", help="bytes per second of each connection, such as 25M")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="where files are written")
    args = parser.parse_args()

    folder = Path(tempfile.mkdtemp(dir=args.folder))
    hub = serve(args.size, args.rate)
    try:
        url = hub.stdout.readline().strip()
        environ = {**os.environ, "HF_ENDPOINT": url, "NO_PROXY": "127.0.0.1,localhost"}
        environ |= {"LOCALMIX_HOME": str(folder / "home"), "HF_HOME": str(folder / "hf")}
        rows = {"curl": [], "fetch": [], "localmix pull": []}
        peaks = []
        for _ in range(args.rounds):
            rows["curl"].append(curl(url, folder, environ))
            seconds, peak_kb = fetch(folder, environ)
            rows["fetch"].append(seconds)
            peaks.append(peak_kb / 1e3)
            rows["localmix pull"].append(pull(folder, environ))
    finally:
        hub.terminate()
        hub.wait()
        shutil.rmtree(folder)
    base = statistics.median(rows["curl"])
    for name, seconds in rows.items():
        middle = statistics.median(seconds)
        print(
            f"{name:14} {middle:6.3f} s ({min(seconds):.3f} to {max(seconds):.3f}), "
            f"{base / middle:.2f} of curl's speed"
        )
    print(f"peak memory of fetch: {max(peaks):.0f} MB")


def serve(size: str, rate: str | None) -> subprocess.Popen:
    command = [sys.executable, "-m", "support.fake_hub", "--file", f"{FILE}={size}"]
    command += ["--rate", rate] if rate else []
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    return subprocess.Popen(
        command, cwd=ROOT / "tests", env=environ, stdout=subprocess.PIPE, text=True
    )


def curl(url: str, folder: Path, environ: dict[str, str]) -> float:
    target = folder / "curl.gguf"
    source = f"{url}/{REPO}/resolve/main/{FILE}"
    start = time.perf_counter()
    subprocess.run(["curl", "-sSL", "-o", target, source], env=environ, check=True)
    seconds = time.perf_counter() - start
    target.unlink()
    return seconds


def fetch(folder: Path, environ: dict[str, str]) -> tuple[float, int]:
    target = folder / "fetch.gguf"
    done = subprocess.run(
        [sys.executable, "-c", FETCH, REPO, str(target)],
        env=environ,
        check=True,
        capture_output=True,
        text=True,
    )
    for path in folder.glob("fetch.gguf*"):
        path.unlink()
    seconds, peak_kb = done.stdout.split()
    return float(seconds), int(peak_kb)


def pull(folder: Path, environ: dict[str, str]) -> float:
    command = [sys.executable, "-m", "localmix", "pull", f"hf.co/{REPO}"]
    start = time.perf_counter()
    subprocess.run(command, env=environ, check=True, capture_output=True)
    seconds = time.perf_counter() - start
    shutil.rmtree(folder / "home")
    return seconds


if __name__ == "__main__":
    main()
