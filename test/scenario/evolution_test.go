package scenario

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// evolutionScript uses Evolution's mail library, Camel, as Evolution does.
const evolutionScript = `
import sys, gi
gi.require_version('Camel', '1.2')
from gi.repository import Camel
where, port, secure = sys.argv[1], int(sys.argv[2]), sys.argv[3]
Camel.init(where, False)
Camel.Provider.init() if hasattr(Camel.Provider, 'init') else Camel.provider_init()

class Session(Camel.Session):
    def do_authenticate_sync(self, service, mechanism, cancellable):
        service.set_password('secret')
        return service.authenticate_sync(mechanism, cancellable) == Camel.AuthenticationResult.ACCEPTED
    def do_trust_prompt(self, service, certificate, errors):
        return Camel.CertTrust.TEMPORARY

def connect(name):
    session = Session(user_data_dir=where + '/data' + name, user_cache_dir=where + '/cache' + name, online=True)
    session.set_online(True)
    store = session.add_service(name, 'imapx', Camel.ProviderType.STORE)
    settings = store.ref_settings()
    for key, value in (('host', '127.0.0.1'), ('port', port), ('user', 'you@example.test'), ('auth-mechanism', None),
                       ('security-method', getattr(Camel.NetworkSecurityMethod, secure))):
        settings.set_property(key, value)
    store.set_online_sync(True, None)
    assert store.connect_sync(None), 'not connected'
    return session, store

def subjects(folder):
    folder.refresh_info_sync(None)
    return sorted(folder.get_message_info(uid).get_subject() for uid in folder.get_uids())

session, store = connect('one')
inbox = store.get_folder_sync('INBOX', 0, None)
assert subjects(inbox) == ['number %d' % i for i in range(5)], subjects(inbox)
for uid in inbox.get_uids():
    message = inbox.get_message_sync(uid, None)
    assert message.get_subject() == inbox.get_message_info(uid).get_subject()
store.create_folder_sync('', 'Größe', None)
other = store.get_folder_sync('Größe', 0, None)
first, second = inbox.get_uids()[:2]
inbox.set_message_flags(first, Camel.MessageFlags.FLAGGED | Camel.MessageFlags.SEEN, Camel.MessageFlags.FLAGGED | Camel.MessageFlags.SEEN)
inbox.set_message_user_flag(first, 'mine', True)
inbox.synchronize_sync(False, None)
inbox.transfer_messages_to_sync([second], other, True, None)
inbox.synchronize_sync(True, None)
moved = subjects(other)
assert len(moved) == 1, moved
message = Camel.MimeMessage()
message.set_subject('appended')
message.set_content(b'words', 'text/plain')
other.append_message_sync(message, None, None)
assert 'appended' in subjects(other), subjects(other)
found = inbox.search_by_expression('(match-all (header-contains "Subject" "number 4"))', None)
assert len(found) == 1, found
store.disconnect_sync(True, None)

# One who comes with nothing sees the same.
session2, store2 = connect('two')
inbox2 = store2.get_folder_sync('INBOX', 0, None)
inbox2.refresh_info_sync(None)
assert len(inbox2.get_uids()) == 4, inbox2.get_uids()
info = inbox2.get_message_info(first)
assert info.get_flags() & Camel.MessageFlags.FLAGGED and info.get_user_flag('mine'), info.get_flags()
store2.disconnect_sync(True, None)
print('done')
`

// evolution returns the environment in which Camel finds its IMAP provider,
// which tools/scripts/test-deps unpacks.
func evolution(t *testing.T) []string {
	t.Helper()
	root := os.Getenv("POSTHOUSE_EVOLUTION_ROOT")
	if root == "" {
		root = "/var/cache/posthouse-test/evolution"
	}
	providers := filepath.Join(root, "usr/lib/evolution-data-server/camel-providers")
	for _, path := range []string{providers + "/libcamelimapx.so", filepath.Join(root, "schemas/gschemas.compiled"), "/usr/bin/python3"} {
		if _, err := os.Stat(path); err != nil {
			t.Skipf("SKIPPED: no Evolution: %v; tools/scripts/test-deps unpacks it", err)
		}
	}
	env := append(os.Environ(), "EDS_CAMEL_PROVIDER_DIR="+providers, "GSETTINGS_SCHEMA_DIR="+filepath.Join(root, "schemas"), "GSETTINGS_BACKEND=memory",
		"LD_LIBRARY_PATH="+filepath.Join(root, "usr/lib/x86_64-linux-gnu"), "LC_ALL=C.UTF-8")
	probe := exec.Command("/usr/bin/python3", "-c", "import gi; gi.require_version('Camel', '1.2'); from gi.repository import Camel")
	probe.Env = env
	if out, err := probe.CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: Camel cannot be used from Python (gir1.2-camel-1.2, python3-gi): %v: %s", err, out)
	}
	return env
}

// TestEvolution runs Evolution's mail library, in clear and with TLS.
func TestEvolution(t *testing.T) {
	env := evolution(t)
	for _, how := range []struct {
		name, security string
		offset         int
	}{{"clear", "NONE", 3}, {"starttls", "STARTTLS_ON_STANDARD_PORT", 3}, {"tls", "SSL_ON_ALTERNATE_PORT", 4}} {
		t.Run(how.name, func(t *testing.T) {
			if modules, _ := filepath.Glob("/usr/lib/*/gio/modules/libgiognutls.so"); how.name != "clear" && len(modules) == 0 {
				t.Skip("SKIPPED: GLib has no TLS here (glib-networking)")
			}
			mail := imapInstance(t, "you")
			for i := range 5 {
				put(t, mail, "you", "179520050"+string(rune('0'+i))+".a.host", "From: a@x.test\nSubject: number "+string(rune('0'+i))+"\n\nwords\n")
			}
			cmd := exec.Command("/usr/bin/python3", "-c", evolutionScript, t.TempDir(), port(mail, how.offset), how.security)
			cmd.Env = env
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "done") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func port(mail *testkit.Instance, offset int) string {
	_, p, _ := strings.Cut(pop3Addr(mail, offset), ":")
	return p
}
