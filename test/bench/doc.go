// Package bench measures Posthouse beside Debian's Postfix: in turn, on the
// same machine and file system, with Postfix's own smtp-source and smtp-sink.
//
// `make bench` runs all of it and prints tables; a plain `go test` only checks
// the arithmetic. Machines and disks drift, so only ratios taken in one run
// mean something, and the disk's own rate of durable files is measured in the
// same rounds.
package bench
