"""Flags in a YAML file (`--config`): they are those of the command line, which overrides them."""

import pytest

from nav_pkg.cli import entry
from nav_pkg.config import learner
from nav_pkg.config.config_file import expand
from nav_pkg.core import DataError, UsageError


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_a_file_gives_the_flags_of_a_command_line(write):
    file = write(
        "network: tiny_net\ndiscrete: true\nlearning_rate: 1e-05\nclip: null\nshifted_input: false\n"
    )
    line = ["--network", "tiny_net", "--discrete", "--learning_rate", "1e-05", "--random_seed", "7"]
    words, files = expand(["--config", file, "--random_seed", "7"])
    assert files == [file] and learner.parse(words) == learner.parse(line)


def test_the_command_line_overrides_the_file_wherever_it_stands(write):
    file = write("learning_rate: 0.5\nbatch_size: 4\n")
    for line in (
        ["--learning_rate", "0.1", f"--config={file}"],
        ["--config", file, "--learning_rate", "0.1"],
    ):
        parsed = learner.parse(expand(line)[0])
        assert (parsed.learning_rate, parsed.batch_size) == (0.1, 4)


def test_an_action_and_names_stay_first(write):
    file = write("frames: [500, 1000]\n")
    words, _ = expand(["subset", "mine", "--owr", "--config", file])
    assert words == ["subset", "mine", "--frames", "500", "1000", "--owr"]


@pytest.mark.parametrize(
    "text, error",
    [
        ("- a\n", "mine.yaml"),
        ("a: [", "mine.yaml is not YAML"),
        ("--network: tiny_net\n", "not the name of a flag"),
        ("network: {a: 1}\n", "network: must be one value or a list"),
        ("network: [[a]]\n", "network: must be one value or a list"),
    ],
)
def test_what_is_no_mapping_of_flags_is_refused(write, text, error):
    with pytest.raises(DataError, match=error):
        expand(["--config", write(text)])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="none.yaml"):
        expand(["--config", str(tmp_path / "none.yaml")])
    for line in (["--config"], ["--config", "--owr"], ["--config="]):
        with pytest.raises(UsageError, match="--config: give a YAML file"):
            expand(line)


def test_an_unknown_flag_names_the_file(write, capsys):
    file = write("lerning_rate: 0.1\n")
    with pytest.raises(SystemExit) as end:
        entry.run(lambda argv: learner.parse(argv) and 0, ["--config", file])
    error = capsys.readouterr().err
    assert end.value.code == 2 and "did you mean '--learning_rate'" in error and file in error
    assert len(error.splitlines()) == 1
