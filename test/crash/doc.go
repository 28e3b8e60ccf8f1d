// Package crash proves the one promise of a mail system: what it said 250 to
// is never lost. A ledger outside of the system records each message that was
// handed in and what was answered; daemons are killed, power is cut, disks
// fill up and system calls fail; at the end everything that can hold mail is
// searched, and each recipient of each message gets a verdict.
//
// `go test ./test/crash` is a smoke test of about a minute, `make faults` the
// long campaign. Both need root, loop devices and ext4; they run in namespaces
// of their own, so that nothing of them is left behind.
package crash
