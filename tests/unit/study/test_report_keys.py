"""The keys of a search space that the report reads: an objective's tolerance, and `report`."""

import pytest
from space_text import space_text

from mtbert_ray.errors import ConfigError
from mtbert_ray.study.space import load_search_space

OBJECTIVE = "dev_score: {direction: maximize, reference: 0.2}"


def test_tolerance_and_report_are_read_and_have_defaults(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(space_text("dev_score: {direction: maximize, reference: 0.2, tolerance: 0.01}", "encoder: tiny"))
    space = load_search_space(path, overrides=["report.keep_share=0.9"])
    assert space.objectives["dev_score"].tolerance == 0.01
    assert space.report.model_dump() == {"keep_share": 0.9, "task_loss": 0.05}
    path.write_text(space_text(OBJECTIVE, "encoder: tiny") + "report: {task_loss: 0.1}\n")
    space = load_search_space(path)
    assert space.objectives["dev_score"].tolerance is None
    assert space.report.model_dump() == {"keep_share": 0.95, "task_loss": 0.1}


@pytest.mark.parametrize(
    ("objective", "more", "key"),
    [
        ("dev_score: {direction: maximize, reference: 0.2, tolerance: -0.01}", "", "objectives.dev_score.tolerance"),
        ("dev_score: {direction: maximize, reference: 0.2, tolerance: .nan}", "", "objectives.dev_score.tolerance"),
        (OBJECTIVE, "report: {keep_share: 1.5}\n", "report.keep_share"),
        (OBJECTIVE, "report: {task_loss: -1}\n", "report.task_loss"),
        (OBJECTIVE, "report: {keep_shares: 0.9}\n", "keep_shares"),
    ],
)
def test_mistakes_in_them_are_named(tmp_path, objective, more, key):
    path = tmp_path / "space.yaml"
    path.write_text(space_text(objective, "encoder: tiny") + more)
    with pytest.raises(ConfigError, match=key):
        load_search_space(path)
