# Completion of posthouse(8) for bash.
_posthouse() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	case $prev in
	-c | --dir) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
	--domain | --user | --base-port) return ;;
	esac
	local word
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		if [ "$word" = init ]; then
			mapfile -t COMPREPLY < <(compgen -W "--dir --domain --user --base-port" -- "$cur")
			return
		fi
	done
	mapfile -t COMPREPLY < <(compgen -W "-c -v start start-fg stop abort reload status flush check set-permissions logrotate init version" -- "$cur")
}
complete -F _posthouse posthouse
