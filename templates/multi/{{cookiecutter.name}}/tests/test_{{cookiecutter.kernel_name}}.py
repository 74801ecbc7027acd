# SPDX-License-Identifier: {{ cookiecutter.spdx }}
"""What {{ cookiecutter.name }} does. `kscaffold test` gives each test a kernel of its own, and throws that away."""

HEAD = "{{ cookiecutter.kernel_name }}: "


def said(guest):
    """What the module has printed so far."""
    return [line.removeprefix(HEAD) for line in guest.log() if line.startswith(HEAD)]


def test_starts_its_parts_and_stops_them_in_reverse(guest):
    guest.load()
    guest.unload()
    words = said(guest)
    assert words[words.index("hello from init") :] == [
        "hello from init",
{% for other in cookiecutter._others %}
        "{{ other.stem }} starts",
{% endfor %}
{% for other in cookiecutter._others | reverse %}
        "{{ other.stem }} stops",
{% endfor %}
        "goodbye from exit",
    ]


def test_can_come_back(guest):
    # What exit forgets to undo is in the way of the second load.
    for _ in range(2):
        guest.load()
        guest.unload()
