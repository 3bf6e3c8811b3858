"""cluster.yaml passes Ray's own validation, and is as closed and as pinned as docs/cluster.md says."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from ray.autoscaler._private.util import prepare_config, validate_config
from ruamel.yaml import YAML

from mtbert_ray.ray_backend.capacity import Capacity, Node, TrialRequest, check, max_concurrent
from mtbert_ray.ray_backend.inventory import configured_growth

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "cluster.yaml").read_text(encoding="utf-8")
CONFIG = YAML(typ="safe").load(TEXT)
STARTS = CONFIG["head_start_ray_commands"] + CONFIG["worker_start_ray_commands"]
COMMANDS = STARTS + CONFIG["setup_commands"] + CONFIG["head_setup_commands"] + CONFIG["worker_setup_commands"]


def prepared():
    return prepare_config(json.loads(json.dumps(CONFIG)))


def test_ray_accepts_it():
    validate_config(prepared())


def test_nothing_of_rays_defaults_for_commands_is_left():
    config = prepared()
    assert config["head_setup_commands"] == CONFIG["setup_commands"] + CONFIG["head_setup_commands"]
    assert config["worker_setup_commands"] == CONFIG["setup_commands"]
    assert config["docker"] == {}


def test_ray_has_the_version_of_the_lock():
    (locked,) = re.findall(r"^ray==(\S+)$", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)
    assert re.findall(r"ray\[[^\]]*\]==([\w.]+)", TEXT) == [locked]
    assert any("-c requirements.lock" in command for command in CONFIG["setup_commands"])


def test_workers_start_from_zero_and_only_they_have_gpus():
    kinds = prepared()["available_node_types"]
    head = kinds.pop(CONFIG["head_node_type"])
    assert "GPU" not in head["resources"]
    assert head["max_workers"] == 0
    for kind in kinds.values():
        assert kind["min_workers"] == 0
        assert kind["resources"]["GPU"] > 0


def test_a_sweep_on_the_fresh_cluster_knows_what_it_may_wait_for():
    head = Node(cpus=8)
    capacity = Capacity(nodes=(head,), growth=configured_growth(prepared(), (head,)))
    assert max_concurrent(TrialRequest(gpus_per_worker=1), capacity) == CONFIG["max_workers"]
    check(TrialRequest(num_workers=8, gpus_per_worker=1, driver_cpus=0.01), capacity)


def test_every_ray_command_uses_the_token_and_the_token_is_sent_and_closed():
    calls = [command for command in STARTS if re.search(r"\bray (start|stop)\b", command)]
    assert len(calls) == 4
    assert all("export RAY_AUTH_MODE=token" in command for command in calls)
    assert CONFIG["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert "chmod 600 ~/.ray/auth_token" in CONFIG["setup_commands"]


def test_the_dashboard_is_on_and_listens_only_on_the_head_itself():
    (start,) = [command for command in STARTS if "ray start --head" in command]
    assert "--dashboard-host=127.0.0.1" in start
    assert "--include-dashboard" not in start
    assert "0.0.0.0" not in TEXT


def test_no_usage_reports():
    starts = [command for command in STARTS if "ray start" in command]
    assert len(starts) == 2
    assert all("--disable-usage-stats" in command for command in starts)


def test_the_security_group_opens_nothing_beyond_ssh():
    group = CONFIG["provider"]["security_group"]
    assert group["GroupName"]
    opened = {(rule["FromPort"], rule["ToPort"]) for rule in group.get("IpPermissions", [])}
    assert opened <= {(22, 22)}


def test_the_copy_leaves_out_the_environment_and_never_a_folder_inside_the_package():
    assert "/.venv" in CONFIG["rsync_exclude"]
    # Without the slash rsync matches at any depth, as `data` would match mtbert_ray/data.
    assert [pattern for pattern in CONFIG["rsync_exclude"] if not pattern.startswith("/")] == ["__pycache__"]


def test_it_names_no_machine_and_no_account():
    assert not re.search(r"(?<![\w.])/(home|root|Users|work|mnt)/", TEXT)
    assert not re.search(r"\b\d{12}\b|arn:aws|AKIA|ami-[0-9a-f]{8}", TEXT)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_bash(command):
    done = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_workers_get_the_heads_image(tmp_path):
    """The `sed` that `ray up` runs on the head, on the configuration that Ray writes there."""
    (command,) = [command for command in STARTS if "sed -i" in command]
    written = tmp_path / "ray_bootstrap_config.yaml"
    written.write_text(json.dumps(prepared()))
    sed = command[command.index("sed -i") :].replace("~/", f"{tmp_path}/")
    subprocess.run(["bash", "-c", f"AMI=ami-head; {sed}"], check=True)
    kinds = json.loads(written.read_text())["available_node_types"]
    assert {kind["node_config"]["ImageId"] for kind in kinds.values()} == {"ami-head"}
