"""Every rule of the stability table, measured against many digits before and after."""

import math
import random

import mpmath
import pytest
import sympy
from sympy.stats import Normal, cdf

import symgrad as sg
from symgrad.calculus import reference
from symgrad.graph.evaluate import evaluate
from symgrad.graph.lower import lower
from symgrad.graph.stability import RULES, stabilize
from symgrad.language.parse import parse

#: By how many units in the last place a stable form may be worse where the pattern is good.
ROUNDING = 3.0
#: How bad a pattern must get somewhere to be worth a rule, in units in the last place.
WORTH = 50.0
#: The same for forms whose loss is mild in value but not in the derivative.
MILD = {"1 - x**2", "y/(1 + exp(x))"}
CONDITIONAL = [rule for rule in RULES if rule.when is not None]
PLAIN = [rule for rule in RULES if rule.when is None]


def error(got, want):
    """Return the distance in units in the last place of the wanted double."""
    nearest = float(want)
    if math.isnan(got) or math.isinf(got) or math.isinf(nearest):
        return 0.0 if got == nearest else math.inf
    with mpmath.workdps(50):
        return float(abs(mpmath.mpf(got) - want) / math.ulp(nearest))


def points(rule, count=250):
    """Yield points of the domain, half of them spread over all magnitudes."""
    generator = random.Random(rule.pattern)
    for _ in range(count):
        point = {}
        for name, (low, high) in zip("xy", rule.domain, strict=False):
            largest = math.log10(max(abs(low), abs(high)))
            value = math.inf
            while not low <= value <= high:
                if generator.random() < 0.5:
                    value = generator.uniform(low, high)
                else:
                    value = generator.choice([1, -1]) * 10 ** generator.uniform(-20, largest)
            point[name] = value
        yield point


def errors(rule):
    """Return pairs of the errors of the pattern and of the stable form."""
    program = parse(rule.pattern, inputs=list("xy")[: len(rule.domain)])
    written = lower(program)
    stable = stabilize(written)
    assert str(stable) != str(written)
    pairs = []
    for point in points(rule):
        want = reference.value(program, point, digits=900)
        if not mpmath.isfinite(want) or abs(want) < 1e-300:
            continue
        (before,) = evaluate([written.outputs[0].node], point)
        (after,) = evaluate([stable.outputs[0].node], point)
        pairs.append((error(before, want), error(after, want)))
    assert len(pairs) > 20
    return pairs


@pytest.mark.parametrize("rule", PLAIN, ids=lambda rule: rule.pattern)
def test_a_rule_is_never_worse_and_somewhere_much_better(rule):
    pairs = errors(rule)
    assert all(after <= before + ROUNDING for before, after in pairs)
    if rule.pattern not in MILD:
        assert max(before for before, _ in pairs) > WORTH
    assert max(after for _, after in pairs) < 10


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.pattern)
def test_a_rule_says_why_and_matches_itself(rule):
    assert rule.why
    program = parse(rule.pattern)
    if rule.when is None:
        assert str(stabilize(lower(program))) != str(lower(program))


@pytest.mark.parametrize(
    "text",
    [
        "erfc(-d/sqrt(2))/2",
        "0.5*(1 + erf(d/sqrt(2)))",
        "(1 + erf(d/2**0.5))/2",
        "1/2 + erf(d*sqrt(2)/2)/2",
        "0.5 + 0.5*erf(d*sqrt(0.5))",
        "1 - 0.5*erfc(d/sqrt(2))",
        "1 - (1 - erf(d/sqrt(2)))/2",
    ],
)
def test_the_normal_distribution_is_found_in_each_of_its_forms(text):
    (node,) = (output.node for output in stabilize(lower(parse(text))).outputs)
    assert (node.op, node.operands[0].op) == ("ndtr", "input")
    for d in (-30.0, -1.25, 2.5):
        want = reference.value(parse("erfc(-d/sqrt(2))/2"), {"d": d})
        assert error(evaluate([node], {"d": d})[0], want) < 2


def test_the_normal_distribution_of_sympy_is_found():
    distribution = cdf(Normal("X", 0, 1))
    program = sg.compile(distribution(sympy.Symbol("x", real=True))).program
    assert [output.node.op for output in stabilize(lower(program)).outputs] == ["ndtr"]


def test_differences_of_roots_need_an_exact_difference():
    close, apart = parse("sqrt(x + 1) - sqrt(x)"), parse("sqrt(x + y) - sqrt(x*y)")
    assert str(stabilize(lower(apart))) == str(lower(apart))
    node = stabilize(lower(close)).outputs[0].node
    want = reference.value(close, {"x": 1e12})
    assert error(evaluate([node], {"x": 1e12})[0], want) < 3


def test_patterns_fit_any_operands_in_any_order():
    values = {"a": 3.0, "b": -2.0}
    for text in ("log(exp(a*b) + 1)", "log(1 + exp(a*b))"):
        (node,) = (output.node for output in stabilize(lower(parse(text))).outputs)
        assert node.op == "softplus"
        assert evaluate([node], values)[0] == pytest.approx(math.log1p(math.exp(-6.0)))


def test_a_named_step_is_not_looked_through():
    f = sg.compile("u = exp(x); z = log(1 + u)")
    assert [float(g) for g in sg.grad(f, wrt=("u",))(0.0)] == [0.5]


def test_the_inner_form_does_not_hide_the_outer_one():
    node = stabilize(lower(parse("log(1 - exp(x))"))).outputs[0].node
    assert node.op == "where"


def test_stabilizing_twice_changes_nothing():
    for rule in RULES:
        once = stabilize(lower(parse(rule.pattern)))
        assert stabilize(once).outputs == once.outputs, rule.pattern


@pytest.mark.parametrize("x", [800.0, -800.0, 40.0, -40.0, 1e-9])
def test_values_and_derivatives_of_softplus_over_the_whole_line(x):
    f = sg.compile("z = log(1 + exp(x))")
    value, (slope,) = sg.value_and_grad(f)(x)
    with mpmath.workdps(900):
        assert error(float(value), mpmath.log(1 + mpmath.exp(x))) < 3
        assert error(float(slope), 1 / (1 + mpmath.exp(-x))) < 4


def test_it_can_be_switched_off():
    f = sg.compile("log(1 + exp(x))", stable=False)
    assert f(800.0) == math.inf
    assert sg.compile("log(1 + exp(x))")(800.0) == 800.0


def test_closed_forms_show_the_formula_as_it_was_written():
    assert str(sg.compile("log(1 + exp(x))").derivative("x")) == "exp(x)/(exp(x) + 1)"
