# Posthouse: `make` builds, `make run` tries it out, `make test` proves it.
# `make help` lists the targets.

PREFIX    ?= /usr
DESTDIR   ?=
confdir   ?= /etc/posthouse
libexec   ?= $(PREFIX)/lib/posthouse
sbindir   ?= $(PREFIX)/sbin
bindir    ?= $(PREFIX)/bin
mandir    ?= $(PREFIX)/share/man
compldir  ?= $(PREFIX)/share/bash-completion/completions
unitdir   ?= $(PREFIX)/lib/systemd/system
sysusersdir ?= $(PREFIX)/lib/sysusers.d
tmpfilesdir ?= $(PREFIX)/lib/tmpfiles.d

GO        ?= go
export CGO_ENABLED = 0
GOFLAGS_BUILD = -trimpath -ldflags "-s -w"

# A folder with a main.go is a program; cmd/ has what people type.
DAEMONS  = $(patsubst %/main.go,%,$(wildcard */main.go))
COMMANDS = $(patsubst cmd/%/main.go,%,$(wildcard cmd/*/main.go))

.PHONY: all build pam install-pam run test stress check lint fuzz bench faults install man clean help deps

all: build ## build every program into bin/

build:
	@mkdir -p bin
	$(GO) build $(GOFLAGS_BUILD) -o bin/ $(DAEMONS:%=./%) $(COMMANDS:%=./cmd/%)
	@cd bin && ln -sf smtp lmtp && ln -sf postmap postalias && ln -sf sendmail mailq && ln -sf sendmail newaliases

run: build ## make an instance under ./run if there is none and start it in the foreground
	@bin/posthouse init --dir run --domain example.test --user you@example.test
	@bin/posthouse -c run/etc start-fg

deps: ## install what the tests need from Debian (needs root; says what is missing otherwise)
	@tools/scripts/test-deps

check: ## format, vet, imports, forbidden dependencies and unit tests; under a minute
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt: these files need formatting:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	@$(MAKE) -s lint
	$(GO) test -short ./...

lint: ## staticcheck, from tools/lint with its own go.mod
	@mkdir -p build && $(GO) -C tools/lint build -o ../../build/staticcheck honnef.co/go/tools/cmd/staticcheck
	build/staticcheck ./...

# test/interop waits most, so it comes first, beside all others.
test: deps build ## all tests: unit, fuzz corpora, dialogues, scenarios, crash smoke; says what was skipped
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt: these files need formatting:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	@$(MAKE) -s lint
	POSTHOUSE_BIN=$(CURDIR)/bin POSTHOUSE_STRESS=1m $(GO) run ./tools/gotest -timeout 25m ./test/interop ./...

stress: ## an hour of clients and deliveries at random on two mailboxes, with a model (STRESSTIME=1h)
	POSTHOUSE_STRESS=$(or $(STRESSTIME),1h) $(GO) test -count=1 -v -timeout 25h ./test/dialog/imap -run TestStress

FUZZTIME ?= 30s
fuzz: ## run every fuzz target for FUZZTIME (default 30s) each
	@tools/scripts/fuzz $(FUZZTIME)

bench: build ## measure beside Postfix in the same run (BENCHFLAGS="-rounds 1 -scenarios relay")
	@tools/scripts/test-deps
	$(GO) test -count=1 -v -timeout 60m ./test/bench -args -full $(BENCHFLAGS)

faults: build ## the long durability campaign: kills, power cuts, full disks (needs root); 7 minutes or more
	@mkdir -p build && rm -f build/faults.txt
	$(GO) test -timeout 60m -count=1 ./test/crash -args -campaign -results $(CURDIR)/build/faults.txt
	@cat build/faults.txt

man: ## write the manual pages into build/man from the sources
	$(GO) run ./tools/mkman -o build/man

# authd-pam is the one program that needs a C compiler and the header files of PAM
# (Debian: gcc, libpam0g-dev). `make` and `make test` do without.
pam: build ## build bin/authd-pam, for the source pam of authd; needs gcc and libpam0g-dev
	CGO_ENABLED=1 $(GO) build $(GOFLAGS_BUILD) -o bin/authd-pam ./optional/authd-pam

install-pam: pam ## install authd-pam under DESTDIR, and /etc/pam.d/posthouse if there is none
	install -d $(DESTDIR)$(libexec) $(DESTDIR)/etc/pam.d
	install -m 700 bin/authd-pam $(DESTDIR)$(libexec)/authd-pam
	test -e $(DESTDIR)/etc/pam.d/posthouse || install -m 644 packaging/pam/posthouse $(DESTDIR)/etc/pam.d/posthouse

install: build man ## install under DESTDIR; then run `posthouse set-permissions` as root
	install -d $(DESTDIR)$(libexec) $(DESTDIR)$(sbindir) $(DESTDIR)$(bindir) $(DESTDIR)$(confdir) $(DESTDIR)$(mandir) $(DESTDIR)$(compldir)
	install -m 755 $(DAEMONS:%=bin/%) $(DESTDIR)$(libexec)/
	ln -sf smtp $(DESTDIR)$(libexec)/lmtp
	install -m 755 $(COMMANDS:%=bin/%) $(DESTDIR)$(sbindir)/
	ln -sf postmap $(DESTDIR)$(sbindir)/postalias
	ln -sf $(sbindir)/sendmail $(DESTDIR)$(bindir)/mailq
	ln -sf $(sbindir)/sendmail $(DESTDIR)$(bindir)/newaliases
	test -e $(DESTDIR)$(confdir)/main.cf || { install -m 644 etc/main.cf $(DESTDIR)$(confdir)/main.cf; \
		test $(PREFIX) = /usr || printf '\n# Where the programs are.\ndaemon_directory = %s\ncommand_directory = %s\n' $(libexec) $(sbindir) >>$(DESTDIR)$(confdir)/main.cf; }
	test -e $(DESTDIR)$(confdir)/master.cf || install -m 644 etc/master.cf $(DESTDIR)$(confdir)/master.cf
	test -e $(DESTDIR)$(confdir)/aliases || install -m 644 etc/aliases $(DESTDIR)$(confdir)/aliases
	install -m 644 etc/files $(DESTDIR)$(confdir)/files
	cp -r build/man/. $(DESTDIR)$(mandir)/
	install -m 644 packaging/completion/posthouse.bash $(DESTDIR)$(compldir)/posthouse
	install -d $(DESTDIR)$(unitdir) $(DESTDIR)$(sysusersdir) $(DESTDIR)$(tmpfilesdir)
	sed -e 's|/usr/lib/posthouse|$(libexec)|g; s|/usr/sbin/|$(sbindir)/|g; s|/etc/posthouse|$(confdir)|g' packaging/systemd/posthouse.service >$(DESTDIR)$(unitdir)/posthouse.service
	chmod 644 $(DESTDIR)$(unitdir)/posthouse.service
	install -m 644 packaging/systemd/posthouse.sysusers $(DESTDIR)$(sysusersdir)/posthouse.conf
	install -m 644 packaging/systemd/posthouse.tmpfiles $(DESTDIR)$(tmpfilesdir)/posthouse.conf

clean: ## remove what was built
	rm -rf bin build

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 13
