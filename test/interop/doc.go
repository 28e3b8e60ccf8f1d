// Package interop has tests beside the real thing: Debian's Postfix works on
// our queue and we work on its queue, its configurations run here, and the
// programs that read its log and its listings read ours. What a test needs
// from Debian is installed by tools/scripts/test-deps; without it the test is
// skipped and says so.
package interop
