package sqltable

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // registers itself with database/sql; there is no other way

	"github.com/posthouse-mail/posthouse/pkg/table/dbfile"
)

const connectTimeout = 5 * time.Second

// connectors makes the pools of connections, one for each host.
func connectors(kind string, f *dbfile.File) ([]*host, error) {
	switch kind {
	case "sqlite":
		return sqliteHost(f)
	case "pgsql":
		return eachHost(f, pgsqlHost)
	case "mysql":
		return eachHost(f, mysqlHost)
	}
	return nil, fmt.Errorf("%s is no SQL database", kind)
}

func eachHost(f *dbfile.File, open func(f *dbfile.File, name string) (*sql.DB, error)) ([]*host, error) {
	var hosts []*host
	for _, name := range f.Words("hosts", "localhost") {
		db, err := open(f, name)
		if err != nil {
			return nil, fmt.Errorf("host %s: %w", plainHost(name), err)
		}
		hosts = append(hosts, &host{name: plainHost(name), db: db})
	}
	return hosts, nil
}

// plainHost takes a password out of a URL.
func plainHost(name string) string {
	if u, err := url.Parse(name); err == nil && u.Scheme != "" && u.Host != "" {
		return u.Redacted()
	}
	return name
}

// splitHost reads unix:/path, inet:host:port, host:port and host.
func splitHost(name string, port int) (network, addr, portText string) {
	if path, ok := strings.CutPrefix(name, "unix:"); ok {
		return "unix", path, ""
	}
	if strings.HasPrefix(name, "/") {
		return "unix", name, ""
	}
	name = strings.TrimPrefix(name, "inet:")
	if h, p, err := net.SplitHostPort(name); err == nil {
		return "tcp", h, p
	}
	return "tcp", strings.Trim(name, "[]"), strconv.Itoa(port)
}

func pgsqlHost(f *dbfile.File, name string) (*sql.DB, error) {
	text := name
	if !strings.HasPrefix(name, "postgresql://") && !strings.HasPrefix(name, "postgres://") {
		_, addr, port := splitHost(name, 5432)
		if port == "" {
			port = "5432"
		}
		if strings.ContainsAny(addr+port, " '\\") {
			return nil, errors.New("cannot be understood")
		}
		text = "host=" + addr + " port=" + port + " sslmode=" + f.Str("sslmode", "prefer")
	}
	cfg, err := pgx.ParseConfig(text)
	if err != nil {
		return nil, errors.New("cannot be understood") // the text of the error may show a password
	}
	cfg.User, cfg.Password = f.Str("user", cfg.User), f.Str("password", cfg.Password)
	cfg.Database = f.Str("dbname", cfg.Database)
	cfg.ConnectTimeout = connectTimeout
	cfg.RuntimeParams["client_encoding"] = f.Str("encoding", "UTF8")
	cfg.RuntimeParams["application_name"] = "posthouse"
	return stdlib.OpenDB(*cfg), nil
}

func mysqlHost(f *dbfile.File, name string) (*sql.DB, error) {
	cfg := mysql.NewConfig()
	port, err := f.Int("port", 3306, 1, 65535)
	if err != nil {
		return nil, err
	}
	network, addr, portText := splitHost(name, port)
	cfg.Net, cfg.Addr = network, addr
	if network == "tcp" {
		cfg.Addr = net.JoinHostPort(addr, portText)
	}
	if name == "localhost" {
		// As in MySQL's own library, it is the socket.
		cfg.Net, cfg.Addr = "unix", "/run/mysqld/mysqld.sock"
	}
	cfg.User, cfg.Passwd, cfg.DBName = f.Str("user", ""), f.Str("password", ""), f.Str("dbname", "")
	cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout = connectTimeout, queryTimeout, queryTimeout
	cfg.Collation = ""
	if err := cfg.Apply(mysql.Charset(f.Str("charset", "utf8mb4"), "")); err != nil {
		return nil, err
	}
	if ca := f.Str("tls_CAfile", ""); ca != "" {
		cfg.TLSConfig = "true"
		if cfg.TLS, err = caConfig(ca); err != nil {
			return nil, err
		}
	}
	c, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(c), nil
}

func sqliteHost(f *dbfile.File) ([]*host, error) {
	path := f.Str("dbpath", "")
	if !strings.HasPrefix(path, "/") {
		return nil, errors.New("dbpath must begin with /")
	}
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: "mode=ro&_pragma=busy_timeout(5000)&_pragma=query_only(1)"}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, err
	}
	return []*host{{name: path, db: db}}, nil
}

// isDown reports an error of the connection, as opposed to one of the query.
func (d *DB) isDown(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		// Connection exceptions, out of resources, and a server that stops or
		// starts; and a password that one host knows and another does not.
		switch {
		case len(pg.Code) != 5:
			return false
		case pg.Code[:2] == "08", pg.Code[:2] == "53", pg.Code[:3] == "57P", pg.Code[:2] == "28":
			return true
		}
		return false
	}
	var my *mysql.MySQLError
	if errors.As(err, &my) {
		switch my.Number {
		case 1040, 1044, 1045, 1053, 1129, 1130, 1203, 1226:
			return true
		}
		return false
	}
	var op *net.OpError
	var cerr *pgconn.ConnectError
	return errors.As(err, &op) || errors.As(err, &cerr) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, mysql.ErrInvalidConn)
}
