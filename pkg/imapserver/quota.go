package imapserver

// quotaRoot is the name of the one quota of a user (RFC 9208 3.2).
const quotaRoot = "User quota"

// storeCapabilities are those that depend on the store.
func (c *conn) storeCapabilities() []string {
	return []string{"QUOTA", "QUOTA=RES-STORAGE", "QUOTA=RES-MESSAGE", "NOTIFY", "ACL", "RIGHTS=kxte",
		"METADATA", "METADATA-SERVER", "LIST-MYRIGHTS", "LIST-METADATA"}
}

// getQuota is GETQUOTA (RFC 9208 4.1.1).
func (c *conn) getQuota() error {
	c.dec.SP()
	root := c.dec.AString()
	if !c.dec.End() {
		return nil
	}
	if root != quotaRoot {
		return refuse("NONEXISTENT", "No such quota root.")
	}
	if err := c.tellQuota(); err != nil {
		return err
	}
	return c.ok("Getquota completed.")
}

// getQuotaRoot is GETQUOTAROOT.
func (c *conn) getQuotaRoot() error {
	c.dec.SP()
	name := c.dec.Mailbox()
	if !c.dec.End() {
		return nil
	}
	if _, err := c.store.Status(name, false); err != nil {
		return err
	}
	_, has, err := c.store.QuotaUsage()
	if err != nil {
		return err
	}
	c.enc.Raw("* QUOTAROOT ").Mailbox(name)
	if has {
		c.enc.SP().String(quotaRoot)
	}
	c.enc.CRLF()
	if err := c.tellQuota(); err != nil {
		return err
	}
	return c.ok("Getquotaroot completed.")
}

// tellQuota sends QUOTA if the user has one. STORAGE is in units of 1024
// bytes.
func (c *conn) tellQuota() error {
	u, has, err := c.store.QuotaUsage()
	if err != nil || !has {
		return err
	}
	c.enc.Raw("* QUOTA ").String(quotaRoot).Raw(" (")
	if u.MaxBytes > 0 {
		c.enc.Raw("STORAGE ").Number(uint64((u.Bytes + 1023) / 1024)).SP().Number(uint64(u.MaxBytes / 1024))
	}
	if u.MaxMessages > 0 {
		if u.MaxBytes > 0 {
			c.enc.SP()
		}
		c.enc.Raw("MESSAGE ").Number(uint64(u.Messages)).SP().Number(uint64(u.MaxMessages))
	}
	c.enc.Byte(')').CRLF()
	return nil
}

// setQuota is SETQUOTA, which is the administrator's.
func (c *conn) setQuota() error {
	c.dec.SP()
	c.dec.AString()
	c.dec.SP()
	c.dec.List(func() {
		c.dec.Atom()
		c.dec.SP()
		c.dec.Number64()
	})
	if !c.dec.End() {
		return nil
	}
	return refuse("NOPERM", "Quotas are set by the administrator.")
}
