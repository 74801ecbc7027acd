/* SPDX-License-Identifier: {{ cookiecutter.spdx }} */
#ifndef {{ cookiecutter.ident | upper }}_H
#define {{ cookiecutter.ident | upper }}_H

/* What {{ cookiecutter.name }}.ko exports. */

/* Adds a number, returns the sum of all that were added. May sleep. */
int {{ cookiecutter.kernel_name }}_tally_add(int number);

#endif /* {{ cookiecutter.ident | upper }}_H */
