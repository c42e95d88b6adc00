"""How many CPUs a process may use: environment, control groups, affinity."""

import os

import pytest

from fastconv import cpus

CONTAINER = "0::/\n"

# The environment


@pytest.mark.parametrize(
    ("environment", "number"),
    [
        ({"FASTCONV_NUM_THREADS": "3"}, 3),
        ({"FASTCONV_NUM_THREADS": " 3 ", "OMP_NUM_THREADS": "5"}, 3),
        ({"FASTCONV_NUM_THREADS": "1024"}, 1024),
        ({"FASTCONV_NUM_THREADS": "", "OMP_NUM_THREADS": "5"}, 5),
        ({"OMP_NUM_THREADS": "5"}, 5),
        ({"OMP_NUM_THREADS": "5,2,1"}, 5),
        ({"OMP_NUM_THREADS": " 5 , 2"}, 5),
        ({"OMP_NUM_THREADS": "100000"}, 1024),
        ({"OMP_NUM_THREADS": "many"}, 11),
        ({"OMP_NUM_THREADS": "0"}, 11),
        ({"OMP_NUM_THREADS": "-4"}, 11),
        ({"OMP_NUM_THREADS": ",4"}, 11),
        ({"OMP_NUM_THREADS": ""}, 11),
        ({}, 11),
    ],
)
def test_default_number(monkeypatch, environment, number):
    monkeypatch.setattr(cpus, "allowed_cpus", lambda: 11)
    assert cpus.default_threads(environment) == number


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "1025", "9" * 5000, "1,2", "+1", "²"])
def test_malformed_number(text):
    with pytest.raises(ValueError, match=r"^fastconv: FASTCONV_NUM_THREADS must be .*1024, got '"):
        cpus.default_threads({"FASTCONV_NUM_THREADS": text})


# Control groups


def system(root, **files):
    """Write files, named by their path with __ for /, and return where."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


@pytest.mark.parametrize(
    ("files", "number"),
    [
        ({}, None),
        ({"proc__self__cgroup": CONTAINER}, None),
        ({"proc__self__cgroup": CONTAINER, "sys__fs__cgroup__cpu.max": "max 100000\n"}, None),
        ({"proc__self__cgroup": CONTAINER, "sys__fs__cgroup__cpu.max": "200000 100000\n"}, 2),
        ({"proc__self__cgroup": CONTAINER, "sys__fs__cgroup__cpu.max": "150000 100000\n"}, 2),
        ({"proc__self__cgroup": CONTAINER, "sys__fs__cgroup__cpu.max": "1000 100000\n"}, 1),
        ({"proc__self__cgroup": CONTAINER, "sys__fs__cgroup__cpu.max": "nonsense\n"}, None),
        ({"proc__self__cgroup": CONTAINER, "sys__fs__cgroup__cpu.max": "100000 0\n"}, None),
        ({"proc__self__cgroup": "not a line", "sys__fs__cgroup__cpu.max": "1 1"}, None),
        (
            {
                "proc__self__cgroup": "0::/a/b\n",
                "sys__fs__cgroup__a__b__cpu.max": "400000 100000\n",
                "sys__fs__cgroup__a__cpu.max": "300000 100000\n",
            },
            3,
        ),
        (
            {
                "proc__self__cgroup": "0::/elsewhere/../far\n",
                "sys__fs__cgroup__cpu.max": "500000 100000\n",
            },
            5,
        ),
        (
            {
                "proc__self__cgroup": "5:memory:/x\n4:cpu,cpuacct:/docker/1\n1:name=systemd:/x\n",
                "sys__fs__cgroup__cpu__docker__1__cpu.cfs_quota_us": "250000\n",
                "sys__fs__cgroup__cpu__docker__1__cpu.cfs_period_us": "50000\n",
                "sys__fs__cgroup__cpu__cpu.cfs_quota_us": "-1\n",
                "sys__fs__cgroup__cpu__cpu.cfs_period_us": "100000\n",
            },
            5,
        ),
        (
            {
                "proc__self__cgroup": "4:cpu,cpuacct:/docker/1\n",
                "sys__fs__cgroup__cpu,cpuacct__cpu.cfs_quota_us": "300000\n",
                "sys__fs__cgroup__cpu,cpuacct__cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            {
                "proc__self__cgroup": "4:cpu:/\n",
                "sys__fs__cgroup__cpu__cpu.cfs_quota_us": "-1\n",
                "sys__fs__cgroup__cpu__cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
)
def test_quota(tmp_path, files, number):
    assert cpus.quota_cpus(system(tmp_path, **files)) == number


@pytest.mark.parametrize(("quota", "number"), [(None, 4), (2, 2), (9, 4)])
def test_quota_and_affinity_both_limit(monkeypatch, quota, number):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(cpus, "quota_cpus", lambda: quota)
    assert cpus.allowed_cpus() == number


def test_without_affinity_every_cpu_counts(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    monkeypatch.setattr(cpus, "quota_cpus", lambda: None)
    assert cpus.allowed_cpus() == 1
