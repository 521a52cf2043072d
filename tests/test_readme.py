"""The README is executed: every example, every command, and it names the real checks."""

import doctest
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from symgrad.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_examples_print_what_they_show(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(str(ROOT / "README.md"), module_relative=False, verbose=False)
    assert result.attempted > 20
    assert result.failed == 0


def console_examples():
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = example.partition("\n")
            yield command, output


@pytest.mark.parametrize(("command", "output"), list(console_examples()))
def test_console_examples_print_what_they_show(command, output):
    program, *arguments = shlex.split(command)
    assert program == "symgrad"
    assert CliRunner().invoke(main, arguments).output == output


def test_the_first_command_prints_what_is_shown_below_it():
    (command,) = re.findall(r"pip install \. && symgrad (.*)\n", README)
    (shown,) = re.findall(r"```text\n(.*?)```", README, re.DOTALL)
    assert CliRunner().invoke(main, shlex.split(command)).output == shown


def test_ci_runs_the_test_command_of_the_readme():
    commands = [line for line in README.splitlines() if line.endswith("scripts/check")]
    assert commands == ['pip install -e ".[test]" && scripts/check']
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "grep -m 1 'scripts/check$' README.md" in script


def test_every_file_that_the_readme_links_to_exists():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
