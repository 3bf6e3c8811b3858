"""The memory of a container is its limit, by cgroup v1 and v2."""

from pathlib import Path

import psutil
import pytest

from mtbert_ray.resources.node_memory import node_memory

GIB = 2**30


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text + "\n")
    return folder


def v2(limit: object) -> dict[str, str]:
    statistics = f"anon 5\ninactive_file {GIB // 8}\nactive_file {GIB // 8}"
    return {"memory.max": str(limit), "memory.current": str(GIB // 2), "memory.stat": statistics}


def v1(limit: object) -> dict[str, str]:
    statistics = f"inactive_file 1\ntotal_inactive_file {GIB // 8}\ntotal_active_file {GIB // 8}"
    files = {"limit_in_bytes": str(limit), "usage_in_bytes": str(GIB // 2), "stat": statistics}
    return {f"memory/memory.{name}": text for name, text in files.items()}


@pytest.mark.parametrize("version", [v1, v2])
def test_a_limit_is_the_total_and_the_cache_of_files_is_free(tmp_path, version):
    memory = node_memory(write(tmp_path, version(GIB)))
    assert (memory.total, memory.used) == (GIB, GIB // 4)


@pytest.mark.parametrize("files", [v1(2**63 - 4096), v2("max"), v2(2**60), v2(-1) | {"memory.stat": "anon 5"}, {}])
def test_without_a_limit_it_is_the_machine_s(tmp_path, files):
    assert node_memory(write(tmp_path, files)).total == psutil.virtual_memory().total
