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
func (g *Governor) giveBack() {
	if g.excess() < worthwhile {
		return
	}
	debug.FreeOSMemory()
	g.kept.Store(sample().live)
}

// excess is how much memory the process may have beside what it needs: at most
// what the last collection found in use. What that was needed for may have ended
// since, unless it was found at a time of rest.
func (g *Governor) excess() int64 {
	h := sample()
	return h.objects + h.free - min(h.live, g.kept.Load())
}

// heap is what the runtime has, in bytes: objects, those that nobody uses any
// more among them; free memory; and what the last collection found in use.
type heap struct{ objects, free, live int64 }

func sample() heap {
	s := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(s)
	var h heap
	for i, to := range []*int64{&h.objects, &h.free, &h.live} {
		if s[i].Value.Kind() == metrics.KindUint64 {
			*to = int64(s[i].Value.Uint64())
		}
	}
	return h
}
