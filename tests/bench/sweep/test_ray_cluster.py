"""What a cluster is asked for; a real one is in tests/end_to_end/test_sweeps.py."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest

from bench.errors import InputError
from bench.study.study import read
from bench.sweep import ray_cluster
from bench.sweep.ray_cluster import Cluster, reach
from bench.sweep.settings import demanded_device
from bench.sweep.work import alone
from tests.support.sweeping import write_study


@pytest.mark.parametrize(
    ("resources", "device", "actors", "found"),
    [
        ({"CPU": 64, "GPU": 8}, "auto", None, ("cuda", 8)),
        ({"CPU": 64, "GPU": 8}, "auto", 3, ("cuda", 3)),
        ({"CPU": 64, "GPU": 8}, "cpu", None, ("cpu", 64)),
        ({"CPU": 2}, "auto", None, ("cpu", 2)),
        ({"CPU": 2}, "cuda", None, "has no GPU; use --device cpu"),
        ({"GPU": 2}, "auto", None, "no CPU to encode images with"),
    ],
)
def test_an_actor_for_each_gpu_else_for_each_cpu(monkeypatch, resources, device, actors, found):
    monkeypatch.setattr(
        ray_cluster, "connect", lambda _: SimpleNamespace(cluster_resources=lambda: resources)
    )
    if isinstance(found, str):
        with pytest.raises(InputError, match=found):
            Cluster("auto", actors, device, alone)
        return
    made = Cluster("auto", actors, device, alone)
    assert (made.device, made.actors) == found


@pytest.mark.parametrize(
    ("asked", "study", "wanted"),
    [("auto", "any", "auto"), ("auto", "cuda", "cuda"), ("cpu", "cuda", "cpu"), ("cuda:1", "any", "cuda")],
)
def test_the_device_on_a_cluster_is_the_user_s_else_the_study_s(tmp_path, asked, study, wanted):
    place = write_study(tmp_path)
    place.write_text(f'{place.read_text()}device = "{study}"\n')
    assert demanded_device(read(place), asked) == wanted


def test_an_address_where_nobody_listens_is_one_line_at_once():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        reach(f"127.0.0.1:{port}")
    with pytest.raises(InputError, match=rf"no Ray cluster at '127\.0\.0\.1:{port}' \(Connection refused\)"):
        reach(f"127.0.0.1:{port}")
    reach("auto")
    with pytest.raises(InputError, match="ray://head:10001: give the cluster's own address"):
        reach("ray://head:10001")
