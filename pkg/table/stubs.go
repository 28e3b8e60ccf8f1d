package table

func openUnix(name string, o *Options) (Table, error) { return nil, unsupported("unix") }
func openProxy(name string, o *Options, depth int) (Table, error) {
	return open(name, o, depth+1)
}
func openCompound(kind, name string, o *Options, depth int) (Table, error) {
	return nil, unsupported(kind)
}
func openDebug(name string, o *Options, depth int) (Table, error) { return nil, unsupported("debug") }
func openNetwork(kind, name string, o *Options) (Table, error)    { return nil, unsupported(kind) }
