#!/bin/sh
# A template drops lines of C, and changes C's nested braces, because Jinja reads both as its own.
#
# Versions: cookiecutter 2.6.0 with Jinja 3.1.6.
# A good guess: only {{ cookiecutter.name }} and the like are touched; a C file without them comes out as it is, or
#   the template engine refuses it.
# What happens: {{0}} is Jinja's expression 0, so `= {{0}}` becomes `= 0`, {{1, 2}} a Python tuple `(1, 2)`,
#   {{0x10}} 16, and {{-1}} is 1 with the space before it gone, for the minus is Jinja's "strip the space". A macro
#   that turns its argument into a string, {#x, ...}, opens a comment that ends at the next #} anywhere below: all
#   lines between are gone without a word, and the file still compiles where nobody needs them. {{NULL}} and {{1},
#   {2}} are errors.
# Seen: exit status 0; of the macros' four lines "#define NAMED(x)" and "int kept;" are left.
set -eu
here=$(dirname "$0")
. "$here/lib/packages.sh"

needs python3
wheels cookiecutter==2.6.0 Jinja2==3.1.6 MarkupSafe==3.0.4 arrow==1.4.0 binaryornot==0.6.0 certifi==2026.10.19.post1 \
    charset-normalizer==3.5.3 click==8.5.1 idna==3.20 markdown-it-py==4.3.0 mdurl==0.1.2 Pygments==2.21.0 \
    python-dateutil==4.0.0 python-slugify==9.2.0 PyYAML==6.0.4 requests==2.34.2 rich==15.0.0 text-unidecode==1.3 \
    tzdata==2026.6 urllib3==2.8.0
mkdir -p "$work/template/{{cookiecutter.name}}" "$work/out"
echo '{"name": "hello"}' >"$work/template/cookiecutter.json"
cat >"$work/template/{{cookiecutter.name}}/braces.c" <<'C'
int zero[2][2] = {{0}};
int pair[1][2] = {{1, 2}};
int hex[1][1] = {{0x10}};
int minus[1][1] = {{-1}};
C
cat >"$work/template/{{cookiecutter.name}}/macros.c" <<'C'
#define NAMED(x) {#x, x}
int lost;
#define PASTED(x) {x#}
int kept;
C
HOME=$work python3 -m cookiecutter --no-input --output-dir "$work/out" "$work/template" >"$work/log" 2>&1 || {
    tail -n 3 "$work/log" >&2
    changed "cookiecutter fails"
}
braces=$(cat "$work/out/hello/braces.c")
macros=$(cat "$work/out/hello/macros.c")
saw braces.c "$braces"
saw macros.c "$macros"
same "braces.c" 'int zero[2][2] = 0;
int pair[1][2] = (1, 2);
int hex[1][1] = 16;
int minus[1][1] =1;' "$braces"
lacks "macros.c" 'lost\|PASTED' "$macros"
holds "macros.c" '^int kept;$' "$macros"
