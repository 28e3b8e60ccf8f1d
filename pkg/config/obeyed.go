package config

// obeyedNames lists the parameters that some program of this suite acts on.
// Written by `go test ./pkg/config -run Obeyed -update`.
func obeyedNames() []string {
	return []string{}
}
