"""What a shell has to know to ask for completions."""

BASH = """\
_kscaffold() {
    local IFS=$'\\n'
    COMPREPLY=($(kscaffold __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    case ${COMPREPLY[0]} in
    *= | */) compopt -o nospace ;;
    esac
}
complete -F _kscaffold kscaffold
"""
ZSH = """\
#compdef kscaffold
_kscaffold() {
    local -a found joined
    found=("${(@f)$(kscaffold __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    joined=("${(@M)found:#*[=/]}")
    found=("${(@)found:#*[=/]}")
    compadd -a found
    compadd -S '' -a joined
}
if [ "$funcstack[1]" = _kscaffold ]; then _kscaffold "$@"; else compdef _kscaffold kscaffold; fi
"""
FISH = """\
function __kscaffold_complete
    set -l words (commandline -opc) (commandline -ct)
    kscaffold __complete $words[2..-1] 2>/dev/null
end
complete -c kscaffold -f -a '(__kscaffold_complete)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
