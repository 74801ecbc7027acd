/* SPDX-License-Identifier: {{ cookiecutter.spdx }} */
#ifndef {{ cookiecutter.ident | upper }}_H
#define {{ cookiecutter.ident | upper }}_H

/* What the objects of this module know of each other. */
{% for other in cookiecutter._others %}

int {{ other.ident }}_start(void);
void {{ other.ident }}_stop(void);
{% endfor %}

#endif /* {{ cookiecutter.ident | upper }}_H */
