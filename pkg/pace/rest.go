package pace

import (
	"runtime/debug"
	"runtime/metrics"
)

// worthwhile is how much spare memory is worth a collection.
const worthwhile = 4 << 20

// giveBack gives memory to the kernel that the runtime would keep for minutes:
// what a thousand logins or one expensive password needed, and the sessions that
// rest now do not.
func giveBack() {
	if spare() >= worthwhile {
		debug.FreeOSMemory()
	}
}

// spare is how much memory the process has beside what the last collection found
// in use.
func spare() int64 {
	s := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(s)
	for i := range s {
		if s[i].Value.Kind() != metrics.KindUint64 {
			return 0
		}
	}
	return int64(s[0].Value.Uint64() + s[1].Value.Uint64() - s[2].Value.Uint64())
}
