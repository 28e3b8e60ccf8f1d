package config

import (
	"fmt"
	"strings"
	"time"
)

// transportSuffix is one parameter that exists for each transport, as
// transport + suffix, with the default of another parameter.
type transportSuffix struct {
	suffix string
	def    string // name of the parameter that gives the default
}

// transportSuffixes returns the parameters that each transport in master.cf
// has.
func transportSuffixes() []transportSuffix {
	return []transportSuffix{
		{"_delivery_slot_cost", "default_delivery_slot_cost"},
		{"_delivery_slot_discount", "default_delivery_slot_discount"},
		{"_delivery_slot_loan", "default_delivery_slot_loan"},
		{"_destination_concurrency_failed_cohort_limit", "default_destination_concurrency_failed_cohort_limit"},
		{"_destination_concurrency_limit", "default_destination_concurrency_limit"},
		{"_destination_concurrency_negative_feedback", "default_destination_concurrency_negative_feedback"},
		{"_destination_concurrency_positive_feedback", "default_destination_concurrency_positive_feedback"},
		{"_destination_rate_delay", "default_destination_rate_delay"},
		{"_destination_recipient_limit", "default_destination_recipient_limit"},
		{"_extra_recipient_limit", "default_extra_recipient_limit"},
		{"_initial_destination_concurrency", "initial_destination_concurrency"},
		{"_minimum_delivery_slots", "default_minimum_delivery_slots"},
		{"_recipient_limit", "default_recipient_limit"},
		{"_recipient_refill_delay", "default_recipient_refill_delay"},
		{"_recipient_refill_limit", "default_recipient_refill_limit"},
		{"_transport_rate_delay", "default_transport_rate_delay"},
		{commandTimeSuffix, "command_time_limit"},
	}
}

// commandTimeSuffix exists for the services that run commands, pipe and spawn.
const commandTimeSuffix = "_time_limit"

// transportParam returns the description of a parameter of a transport: the
// type and range of the parameter that gives the default. The suffix may be
// given with or without its underscore.
func (c *Config) transportParam(transport, suffix string) (*Param, error) {
	suffix = "_" + strings.TrimPrefix(suffix, "_")
	name := transport + suffix
	for _, t := range transportSuffixes() {
		if t.suffix != suffix {
			continue
		}
		p := Param{Name: name, Default: "$" + t.def}
		if base, ok := c.params[t.def]; ok {
			p.Type, p.Min, p.Max = base.Type, base.Min, base.Max
		}
		// Some transports have a default of their own, as in
		// local_destination_concurrency_limit.
		if own, ok := c.params[name]; ok {
			p.Default = own.Default
		}
		return &p, nil
	}
	return nil, fmt.Errorf("config: transports have no parameter %q", suffix)
}

// transportValue returns the checked value of a parameter of a transport.
func (c *Config) transportValue(transport, suffix string, kind Kind) (*Param, string, error) {
	p, err := c.transportParam(transport, suffix)
	if err != nil {
		return nil, "", err
	}
	raw, ok := c.set(p.Name)
	if !ok {
		raw = p.Default
	}
	value, err := c.Expand(raw)
	if err != nil {
		return nil, "", fmt.Errorf("%s%s: %w", c.where(p.Name), p.Name, err)
	}
	p.Type = kind
	return p, value, c.bad(p.Name, value, c.checkValue(p, value))
}

// TransportInt returns a number that can be set per transport, for instance
// TransportInt("smtp", "_destination_concurrency_limit").
func (c *Config) TransportInt(transport, suffix string) (int, error) {
	_, value, err := c.transportValue(transport, suffix, Int)
	if err != nil {
		return 0, err
	}
	n, err := parseInt(value)
	return int(n), err
}

// TransportDuration returns a time that can be set per transport.
func (c *Config) TransportDuration(transport, suffix string) (time.Duration, error) {
	p, value, err := c.transportValue(transport, suffix, Time)
	if err != nil {
		return 0, err
	}
	return ParseTime(value, c.timeUnit(p))
}

// TransportString returns a text that can be set per transport.
func (c *Config) TransportString(transport, suffix string) (string, error) {
	_, value, err := c.transportValue(transport, suffix, String)
	return value, err
}

// TransportBool returns a yes or no that can be set per transport.
func (c *Config) TransportBool(transport, suffix string) (bool, error) {
	_, value, err := c.transportValue(transport, suffix, Bool)
	if err != nil {
		return false, err
	}
	return parseBool(value)
}
