package imapserver

// What the store does not have yet.

type metadataOptions struct{}

func (c *conn) tellMetadata(string, []string, metadataOptions) error { return nil }

func (c *conn) tellRights(string) error { return nil }

func (c *conn) namespaces() { c.enc.Raw(`(("" "/")) NIL NIL`) }
