// Package databases lists the drivers of tables in databases. Only proxymap,
// postmap and authd link it: the other programs ask proxymap for such tables.
package databases

import (
	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/table/ldaptable"
	"github.com/posthouse-mail/posthouse/pkg/table/sqltable"
)

// Drivers returns the drivers by the type of table.
func Drivers() map[string]table.Driver {
	return map[string]table.Driver{
		"pgsql": sqltable.OpenTable, "mysql": sqltable.OpenTable, "sqlite": sqltable.OpenTable, "ldap": ldaptable.OpenTable,
	}
}
