package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/sched"
)

// params are the parameters of the queue manager.
type params struct {
	ActiveLimit   int           `param:"qmgr_message_active_limit"`
	RcptLimit     int           `param:"qmgr_message_recipient_limit"`
	RcptMinimum   int           `param:"qmgr_message_recipient_minimum"`
	RcptFirst     int           `param:"default_recipient_limit"`
	ClogWarnTime  time.Duration `param:"qmgr_clog_warn_time"`
	DaemonTimeout time.Duration `param:"qmgr_daemon_timeout"`
	MinBackoff    time.Duration `param:"minimal_backoff_time"`
	MaxBackoff    time.Duration `param:"maximal_backoff_time"`
	RunDelay      time.Duration `param:"queue_run_delay"`
	MaxLifetime   time.Duration `param:"maximal_queue_lifetime"`
	DSNLifetime   time.Duration `param:"bounce_queue_lifetime"`
	RetryTime     time.Duration `param:"transport_retry_time"`
	DeferNames    []string      `param:"defer_transports"`
	Delimiters    string        `param:"recipient_delimiter"`
	DoubleBounce  string        `param:"double_bounce_sender"`
	Origin        string        `param:"myorigin"`
	FilterNexthop string        `param:"default_filter_nexthop"`
	AllowMinUser  bool          `param:"allow_min_user"`
	NoVERPBounces bool          `param:"disable_verp_bounces"`
	TellsCleared  bool          `param:"confirm_delay_cleared"`
	ErrorService  string        `param:"error_service_name"`
	BounceService string        `param:"bounce_service_name"`
	DeferService  string        `param:"defer_service_name"`
	TraceService  string        `param:"trace_service_name"`
	Rewrite       string        `param:"rewrite_service_name"`
	IPCTimeout    time.Duration `param:"qmgr_ipc_timeout"`
	DelayDigits   int           `param:"delay_logging_resolution_limit"`
	HashDepth     int           `param:"hash_queue_depth"`
	HashNames     []string      `param:"hash_queue_names"`
	LongIDs       bool          `param:"enable_long_queue_ids"`
	ProcessLimit  int           `param:"default_process_limit"`
}

// limits reads the settings of transports as they come up.
type limits struct {
	cfg     *config.Config
	params  *params
	maxProc map[string]int // of the services in master.cf
}

// newLimits reads the process limits, which bound how many requests a
// transport gets at once. Without a master.cf, as in tests, there is the
// default only.
func newLimits(cfg *config.Config, p *params) (*limits, error) {
	l := &limits{cfg: cfg, params: p, maxProc: make(map[string]int)}
	master, err := config.LoadMaster(filepath.Join(cfg.Dir(), "master.cf"))
	if errors.Is(err, os.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	for i := range master.Services {
		s := &master.Services[i]
		if s.Type != "unix" {
			continue
		}
		if n, ok := requests(s, p.ProcessLimit); ok {
			l.maxProc[s.Name] = n
		}
	}
	return l, nil
}

// requests returns how many deliveries at once a line of master.cf allows, if
// it says so. A site that has maxproc 1 in a Postfix master.cf means one
// delivery at a time, although a process of ours could do many: only a
// client_limit in the same line counts for more.
func requests(s *config.Service, processLimit int) (n int, ok bool) {
	n, ok = s.MaxProc, s.MaxProc != config.MaxProcDefault
	if !ok {
		n = processLimit
	}
	for _, o := range s.Overrides {
		if limit, err := strconv.Atoi(o.Value); o.Name == "client_limit" && err == nil && limit > 0 {
			return n * limit, true
		}
	}
	return n, ok
}

// check finds settings of known transports that are not valid, at the start.
func (l *limits) check() error {
	names := []string{"smtp", "relay", "local", "virtual", "lmtp"}
	for name := range l.maxProc {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if _, err := l.read(name); err != nil {
			return err
		}
	}
	return nil
}

// maxRequests replaces a process limit of 0, which is none: it keeps the
// number of open connections below what a process may have.
const maxRequests = 1000

// read returns the settings of a transport.
func (l *limits) read(transport string) (sched.Limits, error) {
	r := transportReader{cfg: l.cfg, name: transport}
	out := sched.Limits{
		Concurrency:        r.num("destination_concurrency_limit"),
		InitialConcurrency: r.num("initial_destination_concurrency"),
		Recipients:         r.num("destination_recipient_limit"),
		CohortLimit:        r.float("destination_concurrency_failed_cohort_limit"),
		Positive:           r.feedback("destination_concurrency_positive_feedback"),
		Negative:           r.feedback("destination_concurrency_negative_feedback"),
		RateDelay:          r.duration("destination_rate_delay"),
		TransportRateDelay: r.duration("transport_rate_delay"),
		SlotCost:           r.num("delivery_slot_cost"),
		SlotLoan:           r.num("delivery_slot_loan"),
		SlotDiscount:       r.num("delivery_slot_discount"),
		MinSlots:           r.num("minimum_delivery_slots"),
		InMemory:           r.num("recipient_limit"),
		Extra:              r.num("extra_recipient_limit"),
		Refill:             r.num("recipient_refill_limit"),
		RefillDelay:        r.duration("recipient_refill_delay"),
		DeadTime:           l.params.MinBackoff,
		RetryTime:          l.params.RetryTime,
		Requests:           l.params.ProcessLimit,
	}
	if n, ok := l.maxProc[transport]; ok {
		out.Requests = n
	}
	if out.Requests <= 0 || out.Requests > maxRequests {
		out.Requests = maxRequests
	}
	return out, r.err
}

// cachedLimits reads the settings of each transport once.
func cachedLimits(read func(string) sched.Limits) func(string) sched.Limits {
	var mu sync.Mutex
	known := make(map[string]sched.Limits)
	return func(transport string) sched.Limits {
		mu.Lock()
		defer mu.Unlock()
		l, ok := known[transport]
		if !ok {
			l = read(transport)
			known[transport] = l
		}
		return l
	}
}

// transportReader keeps the first error over several parameters.
type transportReader struct {
	cfg  *config.Config
	name string
	err  error
}

func (r *transportReader) keep(suffix string, err error) {
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("%s_%s: %w", r.name, suffix, err)
	}
}

func (r *transportReader) num(suffix string) int {
	n, err := r.cfg.TransportInt(r.name, suffix)
	r.keep(suffix, err)
	return n
}

func (r *transportReader) duration(suffix string) time.Duration {
	d, err := r.cfg.TransportDuration(r.name, suffix)
	r.keep(suffix, err)
	return d
}

func (r *transportReader) float(suffix string) float64 {
	s, err := r.cfg.TransportString(r.name, suffix)
	if err != nil {
		r.keep(suffix, err)
		return 1
	}
	f, err := strconv.ParseFloat(s, 64)
	r.keep(suffix, err)
	return f
}

func (r *transportReader) feedback(suffix string) sched.Feedback {
	s, err := r.cfg.TransportString(r.name, suffix)
	if err != nil {
		r.keep(suffix, err)
		return sched.Feedback{}
	}
	f, err := sched.ParseFeedback(s)
	r.keep(suffix, err)
	return f
}
