# SPDX-License-Identifier: {{ cookiecutter.spdx }}
"""What {{ cookiecutter.name }} is told by its parameters. Each test has a kernel of its own: `kscaffold test`."""

{% if cookiecutter._showcase %}
import errno

import pytest

{% endif %}
PARAMETERS = "/sys/module/{{ cookiecutter.kernel_name }}/parameters"

# Name, its file's content where nothing is given, a value, the file's content then.
VALUES = [
{% for p in cookiecutter._parameters %}
{% for other in p.tried %}
    ({{ p.name | python }}, {{ p.in_its_file | python }}, {{ other.given | python }}, {{ other.shown | python }}),
{% endfor %}
{% endfor %}
{% if cookiecutter._showcase %}
    ("tag", "none\n", "short", "short\n"),
    ("percent", "50\n", "100", "100\n"),
{% endif %}
]


def test_says_its_values(guest):
    guest.load()
{% for p in cookiecutter._parameters %}
{% if not p.count %}
    guest.expect_log("{{ p.name }} = ")
{% elif p.elements %}
    guest.expect_log(r"{{ p.name }}\[0\] = ")
{% endif %}
{% endfor %}
    guest.unload()


def test_each_has_its_default(guest):
    guest.load()
    for name, default, _, _ in VALUES:
        assert (name, guest.read(f"{PARAMETERS}/{name}")) == (name, default)


def test_each_takes_a_value(guest):
    guest.load(**{name: given for name, _, given, _ in VALUES})
    for name, _, _, shown in VALUES:
        assert (name, guest.read(f"{PARAMETERS}/{name}")) == (name, shown)
{% if cookiecutter._showcase %}


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("channel", 256, "ERANGE"),
        ("port", -1, "EINVAL"),
        ("howmany", "many", "EINVAL"),
        ("sizes", "1,2,3,4,5", "EINVAL"),
        ("tag", "sixteen_letters_", "ENOSPC"),
        ("percent", 101, "ERANGE"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(guest, name, value, error):
    assert guest.try_load(**{name: value}).judgement.errno == error
    assert not any("hello from init" in line for line in guest.log())


def test_percent_is_checked_when_it_is_written(guest):
    guest.load()
    guest.write(f"{PARAMETERS}/percent", "100")
    with pytest.raises(OSError) as refused:
        guest.write(f"{PARAMETERS}/percent", "101")
    assert refused.value.errno == errno.ERANGE
    assert guest.read(f"{PARAMETERS}/percent") == "100\n"
    guest.expect_log("percent is more than 100")
{% endif %}
