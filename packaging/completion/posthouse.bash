# Completion of posthouse(8) for bash.

# _posthouse_words prints what may follow a command, and its options.
_posthouse_words() {
	case $1 in
	"") echo "start start-fg stop abort reload status flush check set-permissions logrotate init dkim version user domain mailbox deliver" ;;
	dkim) echo "create rotate list dns" ;;
	user) echo "add passwd show list set delete hold release import" ;;
	domain) echo "add alias delete list" ;;
	mailbox) echo "import check rebuild index stats expire move" ;;
	"user import") echo "passwd dovecot userdb dovecot-sql" ;;
	esac
}

_posthouse_options() {
	case $1 in
	"") echo "-c --config -v --verbose -h --help" ;;
	init) echo "--dir --domain --user --password-file --base-port" ;;
	dkim) echo "--selector --algorithm --also --force" ;;
	user) echo "--password-file --random --no-password --scheme --scram --cram-md5 --uid --gid --home --mail --quota --name --alias --send-as --no-mailbox --service --domain --shadow --min-uid --replace --dry-run" ;;
	mailbox) echo "-m --folder --mbox --older-than --quota" ;;
	deliver) echo "-f --sender -m --folder --create --flags" ;;
	esac
}

_posthouse() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	case $prev in
	-c | --config | --dir | --home | --mail) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
	--password-file | --shadow | --mbox) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
	--algorithm) mapfile -t COMPREPLY < <(compgen -W "rsa ed25519 both" -- "$cur"); return ;;
	--domain | --user | --base-port | --selector | --also | --scheme | --uid | --gid | --quota | --name | --alias | --send-as | \
		--service | --min-uid | -m | --folder | --older-than | -f | --sender | --flags) return ;;
	esac
	# The command and its first words, without options and what they take.
	local i words=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c | --config) i=$((i + 1)) ;;
		-*) ;;
		*) words+=("${COMP_WORDS[i]}") ;;
		esac
	done
	local command=${words[0]-}
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_posthouse_options "$command")" -- "$cur")
		return
	fi
	case "$command ${words[1]-}" in
	"user import")
		case ${#words[@]} in
		2) mapfile -t COMPREPLY < <(compgen -W "$(_posthouse_words "user import")" -- "$cur") ;;
		*) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
		esac ;;
	*)
		# Behind its own words a command takes names that only it knows, or
		# the directories of mailboxes.
		if ((${#words[@]} > 1)) || [ "$command" = deliver ]; then
			mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		else
			mapfile -t COMPREPLY < <(compgen -W "$(_posthouse_words "$command")" -- "$cur")
		fi ;;
	esac
}
complete -F _posthouse posthouse
