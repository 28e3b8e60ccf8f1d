package config

// rowsOwn returns the parameters of the area "own".
func rowsOwn() []row {
	return []row{
		{"auth_owner", String, "posthouse-auth", "1", "authd master", 'O',
			"The user that authd runs as, the only process that reads passwords. It owns the user database and must " +
				"own no other files and run no other process."},
		{"client_limit", Int, "1000", "1,100000", "lib(all)", 'O',
			"The number of clients that one process of a service serves at the same time. When it is reached, the " +
				"process takes no further connection until one ends, and master starts more processes up to the limit " +
				"in master.cf. With 1, each process serves one client at a time. Set it for one service with -o."},
		{"login_owner", String, "posthouse-login", "1", "imapd pop3d master", 'O',
			"The user that imapd and pop3d run as, the servers that talk to mail users before login. It must own no " +
				"files and run no other process."},
		{"tls_owner", String, "posthouse-tls", "1", "tlsmgr master", 'O',
			"The user that owns the TLS and DKIM keys and runs tlsmgr, the only process that uses them. It must " +
				"own no other files and run no other process."},
	}
}
