"""The command line as a user meets it."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from symgrad.cli import main

STEPS = "u = x + y; z = u**2"
TUTORIAL = "z = y*log(x) + sin(y)"


def run(*arguments, text=None):
    return CliRunner().invoke(main, list(arguments), input=text)


def output(*arguments, text=None):
    result = run(*arguments, text=text)
    assert result.exit_code == 0, result.output
    return result.stdout


def refusal(*arguments, text=None):
    result = run(*arguments, text=text)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


def test_a_single_name_prints_the_bare_derivative():
    assert output("diff", STEPS, "--wrt", "u") == "2*u\n"


def test_a_point_adds_the_value():
    assert output("diff", STEPS, "--wrt", "u", "--at", "x=2", "--at", "y=3") == "2*u\n10\n"


def test_all_inputs_by_default():
    assert output("diff", TUTORIAL) == "dz/dy = log(x) + cos(y)\ndz/dx = y/x\n"


def test_an_anonymous_formula_has_no_name():
    assert output("diff", "x**2") == "d/dx = 2*x\n"


def test_latex():
    assert output("diff", STEPS, "--wrt", "u", "--format", "latex") == "2 u\n"
    lines = output("diff", TUTORIAL, "--format", "latex").splitlines()
    assert lines[1] == r"\frac{\partial z}{\partial x} = \frac{y}{x}"


def test_python_evaluates_to_the_derivative():
    import math

    assert output("diff", STEPS, "--wrt", "u", "--format", "python") == "2*u\n"
    code = output("diff", "0.1*x**2 + where(x > 0, log(x), 0)", "--format", "python")
    space = {"math": math, "x": 2.0}
    exec(code, space)
    assert space["d_dx"] == pytest.approx(0.9)


def test_json():
    text = output("diff", STEPS, "--wrt", "u", "--at", "x=2,y=3", "--format", "json")
    (entry,) = json.loads(text)["derivatives"]
    assert entry["expression"] == "2*u"
    assert entry["wrt"] == ["u"]
    assert entry["value"] == 10.0


def test_json_has_no_bare_nan():
    text = output("diff", "log(x)", "--at", "x=nan", "--format", "json")
    assert json.loads(text, parse_constant=pytest.fail)["derivatives"][0]["value"] == "nan"


def test_second_order():
    lines = output("diff", "x**2*y", "--order", "2").splitlines()
    assert lines == ["d2/dx dx = 2*y", "d2/dx dy = 2*x", "d2/dy dy = 0"]


def test_inline():
    assert output("diff", STEPS, "--wrt", "x", "--inline") == "2*x + 2*y\n"


def test_decimals_are_printed_as_typed():
    assert output("diff", "0.1*x", "--wrt", "x") == "0.1\n"


def test_formula_from_standard_input_and_file(tmp_path):
    assert output("diff", "-", "--wrt", "u", text=STEPS + "\n") == "2*u\n"
    path = tmp_path / "formula.txt"
    path.write_text("u = x + y  # a sum\nz = u**2\n", encoding="utf-8")
    assert output("diff", str(path), "--wrt", "u") == "2*u\n"


def test_eval_prints_value_and_gradient():
    lines = output("eval", TUTORIAL, "--at", "x=2", "--at", "y=3").splitlines()
    assert lines == ["z     = 2.22056154974", "dz/dy = -0.296845316041", "dz/dx = 1.5"]


def test_eval_takes_constant_formulas_as_numbers():
    text = output("eval", "sin(x)", "--at", "x=pi/2", "--format", "json")
    assert json.loads(text)["value"] == 1.0


def test_eval_of_a_constant():
    assert output("eval", "2 + 3").strip() == "value = 5"


@pytest.mark.parametrize("stage", ["program", "graph", "gradient", "source"])
def test_emit_stops_at_every_stage(stage):
    assert output("emit", STEPS, "--stage", stage)


def test_emitted_source_is_python_with_the_statements_quoted():
    source = output("emit", STEPS, "--arrays", "x")
    compile(source, "emitted", "exec")
    assert "# derivatives of z = u**2" in source
    assert "for start in range(0, n, 1024):" in source


def test_cache_info_and_clear(tmp_path, monkeypatch):
    monkeypatch.setenv("SYMGRAD_CACHE_DIR", str(tmp_path / "kernels"))
    assert str(tmp_path / "kernels") in output("cache", "info")
    assert output("cache", "clear") == "removed 0 kernels\n"


def test_an_unknown_function_has_a_caret_and_a_proposal():
    message = refusal("diff", "y*lg(x)")
    assert "did you mean 'log'" in message
    line, carets = message.splitlines()[-2:]
    assert line.index("lg") == carets.index("^^")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("diff", STEPS, "--wrt", "v"), "no input or step 'v'"),
        (("diff", STEPS, "--at", "x=2"), "--at y=NUMBER"),
        (("diff", STEPS, "--at", "q=2"), "no input 'q'"),
        (("diff", STEPS, "--at", "x"), "NAME=NUMBER"),
        (("diff", STEPS, "--at", "x=2,x=3,y=1"), "given twice"),
        (("diff", STEPS, "--at", "x=two,y=3"), "'two'"),
        (("diff", ""), "formula"),
        (("eval", TUTORIAL), "missing"),
        (("emit", TUTORIAL, "--arrays", "w"), "no input 'w'"),
        (("diff", "x +* y"), "line 1, column 4"),
    ],
)
def test_mistakes_exit_with_2_and_say_what_to_do(arguments, expected):
    assert expected in refusal(*arguments)


def test_a_derivative_too_long_to_print_points_to_the_compact_form():
    chain = "\n".join(["u0 = x", *(f"u{k + 1} = sin(u{k})*u{k}" for k in range(60))])
    message = refusal("diff", chain, "--inline")
    assert "emit --stage gradient" in message
    assert run("diff", chain).exit_code == 0


def test_diff_loads_neither_numba_nor_numpy():
    code = (
        "import sys\n"
        "from symgrad.cli import main\n"
        f"main(['diff', {TUTORIAL!r}, '--at', 'x=2,y=3'], standalone_mode=False)\n"
        "assert 'numba' not in sys.modules and 'numpy' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_module_is_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "symgrad", "diff", STEPS, "--wrt", "u"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "2*u\n")


def test_what_math_lacks_has_no_python():
    assert "math lacks" in refusal("diff", "gamma(x)", "--format", "python")
    text = output("diff", "gamma(x)", "--format", "json")
    assert json.loads(text)["derivatives"][0]["python"] is None


def test_sums_over_arrays():
    assert output("diff", "sum(a*x)", "--wrt", "a", "--arrays", "x") == "sum(x)\n"
    assert "no input 'q'" in refusal("diff", "sum(a*x)", "--arrays", "q")
    assert "no input 'q'" in refusal("emit", "x", "--stage", "graph", "--arrays", "q")


def test_names_given_twice():
    assert "twice" in refusal("diff", "x*y", "--wrt", "x,x")


def test_eval_says_how_to_give_values():
    assert "--at x=NUMBER" in refusal("eval", "x + y")
