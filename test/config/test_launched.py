"""Arguments of launch files that are misspelt."""

from pathlib import Path

import pytest

from nav_pkg.config import launched
from nav_pkg.core import UsageError

PYTHON = ["/usr/bin/python3", "/usr/bin/roslaunch"]


@pytest.mark.parametrize("file", sorted((launched.ROOT / "launch").glob("*.launch")))
def test_every_launch_file(file):
    where = (["nav_pkg", file.name], Path("/")), ([file.name], file.parent), ([str(file)], Path("/"))
    for words, folder in where:
        launched.check_words([*PYTHON, *words, "__name:=x", "--screen"], folder)
        with pytest.raises(UsageError, match=f"{file.name}: no argument 'rnus'"):
            launched.check_words([*PYTHON, *words, "rnus:=2"], folder)


def test_near_names_are_told():
    with pytest.raises(UsageError, match="collect.launch: no argument 'rnus'; did you mean 'runs'"):
        launched.check_words([*PYTHON, "nav_pkg", "collect.launch", "seed:=1", "rnus:=2"], Path("/"))


def test_an_argument_s_fixed_value_can_not_be_given():
    with pytest.raises(UsageError, match="no argument 'changed'"):
        launched.check_words([*PYTHON, "nav_pkg", "collect.launch", "changed:=--bag"], Path("/"))


@pytest.mark.parametrize(
    "words",
    [
        [*PYTHON, "other", "x.launch", "rnus:=2"],
        ["/bin/bash", "-c", "run_script.py"],
        ["python", "scripts/run_script.py", "rnus:=2"],
        [*PYTHON, "-h"],
    ],
)
def test_others_are_none_of_ours(words):
    launched.check_words(words, Path("/"))


def test_what_takes_all_arguments_or_is_broken_is_roslaunch_s_to_tell(tmp_path):
    (tmp_path / "all.launch").write_text('<launch><include file="b.launch" pass_all_args="true"/></launch>')
    (tmp_path / "broken.launch").write_text("<launch>")
    for name in ("all.launch", "broken.launch"):
        launched.check_words(["python3", "-u", "/usr/bin/roslaunch", name, "world:=x"], tmp_path)


def test_files_that_include_ours_have_their_own(tmp_path):
    (tmp_path / "mine.launch").write_text(
        '<launch><arg name="mine" default="1"/><include file="collect.launch">'
        '<arg name="runs" value="$(arg mine)"/></include></launch>'
    )
    launched.check_words([*PYTHON, "mine.launch", "mine:=3"], tmp_path)
    with pytest.raises(UsageError, match="mine.launch: no argument 'runs'"):
        launched.check_words([*PYTHON, str(tmp_path / "mine.launch"), "runs:=3"], Path("/"))
