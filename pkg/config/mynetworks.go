package config

import (
	"net"
	"net/netip"
	"strings"
)

// myNetworks computes the default of mynetworks from the addresses of this
// machine and mynetworks_style.
func (c *Config) myNetworks() string {
	get := c.host.addresses
	if get == nil {
		get = net.InterfaceAddrs
	}
	addrs, err := get()
	if err != nil || len(addrs) == 0 {
		return "127.0.0.0/8 [::1]/128"
	}
	style, _ := c.Value("mynetworks_style")
	v4, v6 := c.protocols()
	var list []string
	seen := map[string]bool{}
	for _, a := range addrs {
		ipnet, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		text, is4 := networkText(ipnet, style)
		if is4 && !v4 || !is4 && !v6 || seen[text] || text == "" {
			continue
		}
		seen[text] = true
		list = append(list, text)
	}
	return strings.Join(list, " ")
}

// protocols tells which address families inet_protocols allows.
func (c *Config) protocols() (v4, v6 bool) {
	value, err := c.Value("inet_protocols")
	if err != nil {
		return true, true
	}
	for _, p := range SplitList(value) {
		switch p {
		case "all":
			return true, true
		case "ipv4":
			v4 = true
		case "ipv6":
			v6 = true
		}
	}
	return v4, v6
}

// networkText writes the network of an address as mynetworks has it.
func networkText(ipnet *net.IPNet, style string) (text string, is4 bool) {
	addr, ok := netip.AddrFromSlice(ipnet.IP)
	if !ok {
		return "", false
	}
	addr = addr.Unmap()
	bits, _ := ipnet.Mask.Size()
	switch style {
	case "host":
		bits = addr.BitLen()
	case "class":
		if addr.Is4() {
			bits = classBits(addr)
		}
	}
	// A loopback address stands for the whole loopback network.
	if addr.Is4() && addr.IsLoopback() && style != "host" {
		bits = 8
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return "", false
	}
	if addr.Is4() {
		return prefix.String(), true
	}
	ip, mask, _ := strings.Cut(prefix.String(), "/")
	return "[" + ip + "]/" + mask, false
}

// classBits returns the prefix length of the address class A, B or C.
func classBits(addr netip.Addr) int {
	switch first := addr.As4()[0]; {
	case first < 128:
		return 8
	case first < 192:
		return 16
	case first < 224:
		return 24
	}
	return 32
}
