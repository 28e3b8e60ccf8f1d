package scenario

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// imapflowScript uses what webmail and automation built on imapflow use.
const imapflowScript = `
const { ImapFlow } = require(process.argv[2]);
const assert = require('assert');
(async () => {
  const c = new ImapFlow({ host: '127.0.0.1', port: +process.argv[3], secure: process.argv[4] === 'tls', tls: { rejectUnauthorized: false },
    auth: { user: 'you@example.test', pass: 'secret' }, logger: false, qresync: true });
  await c.connect();
  assert(c.capabilities.has('IDLE') && c.capabilities.has('MOVE') && c.capabilities.has('CONDSTORE'));
  await c.mailboxCreate(['Work', 'Größe']);
  const names = (await c.list({ statusQuery: { messages: true, unseen: true } })).map(f => f.path);
  assert(names.includes('INBOX') && names.includes('Work/Größe'), names.join());
  for (let i = 0; i < 5; i++) {
    const r = await c.append('INBOX', Buffer.from('From: a@example.org\r\nTo: you@example.test\r\nSubject: number ' + i + '\r\nMessage-ID: <' + i + '@x>\r\n' +
      'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\ngr\u00fc\u00dfe ' + i + '\r\n--b\r\nContent-Type: application/octet-stream\r\n' +
      'Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=x.bin\r\n\r\nAAECAwQ=\r\n--b--\r\n'), i % 2 ? ['\\Seen', '$Label1'] : []);
    assert(r.uid > 0 && r.uidValidity);
  }
  let lock = await c.getMailboxLock('INBOX');
  try {
    assert.strictEqual(c.mailbox.exists, 5);
    let seen = 0, parts = 0;
    for await (const m of c.fetch('1:*', { uid: true, flags: true, envelope: true, bodyStructure: true, internalDate: true, size: true, headers: ['subject'], source: true })) {
      assert(/^number \d$/.test(m.envelope.subject), m.envelope.subject);
      assert(m.source.length === m.size, m.source.length + ' ' + m.size);
      parts += m.bodyStructure.childNodes.length;
      if (m.flags.has('\\Seen')) seen++;
    }
    assert.strictEqual(seen, 2); assert.strictEqual(parts, 10);
    assert.deepStrictEqual(await c.search({ header: { subject: 'number 3' } }), [4]);
    assert.deepStrictEqual(await c.search({ body: 'gr\u00fc\u00dfe 2' }, { uid: true }), [3]);
    assert.deepStrictEqual(await c.search({ keyword: '$Label1' }), [2, 4]);
    const { content } = await c.download('1', '2');
    const chunks = []; for await (const x of content) chunks.push(x);
    assert.strictEqual(Buffer.concat(chunks).toString('hex'), '0001020304');
    assert(await c.messageFlagsAdd('1', ['\\Flagged', 'mine']));
    const moved = await c.messageMove('2', 'Work/Größe');
    assert.strictEqual(moved.uidMap.size, 1);
    const copied = await c.messageCopy('1', 'Work/Größe');
    assert.strictEqual(copied.uidMap.size, 1);
    assert(await c.messageDelete('3'));
    assert.strictEqual(c.mailbox.exists, 3);
    // What another session delivers is told while idle.
    const told = new Promise(resolve => c.once('exists', resolve));
    const other = new ImapFlow({ host: '127.0.0.1', port: +process.argv[3], secure: process.argv[4] === 'tls', tls: { rejectUnauthorized: false }, auth: { user: 'you@example.test', pass: 'secret' }, logger: false });
    await other.connect();
    c.idle();
    await other.append('INBOX', 'Subject: pushed\r\n\r\nx\r\n');
    const e = await told;
    assert.strictEqual(e.count, 4);
    await other.logout();
  } finally { lock.release(); }
  const st = await c.status('Work/Größe', { messages: true, uidNext: true, highestModseq: true });
  assert.strictEqual(st.messages, 2);
  await c.mailboxRename('Work/Größe', 'Archive');
  await c.mailboxDelete('Archive');
  await c.logout();
  console.log('all well');
})().catch(e => { console.error(e); process.exit(1); });
`

// TestImapflow runs the IMAP library of the npm world, in clear with STARTTLS
// and with TLS from the first byte.
func TestImapflow(t *testing.T) {
	testkit.NeedTool(t, "node")
	cache := os.Getenv("POSTHOUSE_TEST_CACHE")
	if cache == "" {
		cache = "/var/cache/posthouse-test"
	}
	library := filepath.Join(cache, "npm/node_modules/imapflow")
	if _, err := os.Stat(library); err != nil {
		t.Skipf("SKIPPED: no imapflow: %v; tools/scripts/test-deps fetches it", err)
	}
	script := filepath.Join(t.TempDir(), "client.js")
	if err := os.WriteFile(script, []byte(imapflowScript), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, offset := range map[string]int{"starttls": 3, "tls": 4} {
		mail := testkit.New(t)
		mail.UserDB(t, "secret", []string{"you"})
		mail.Start(t)
		out, err := exec.Command("timeout", "120", "node", script, library, fmt.Sprint(mail.Port+offset), mode).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", mode, err, out)
		}
	}
}
