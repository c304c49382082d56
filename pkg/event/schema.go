package event

import (
	"embed"
	"io/fs"

	"seatline.dev/pkg/postgres"
)

//go:embed migrations/*.sql
var files embed.FS

// schema is a function only because fs.Sub returns an error.
func schema() postgres.Migrations {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		panic(err) // The directory is compiled in.
	}
	return postgres.Migrations{Name: "event", FS: sub}
}

// Schema holds the tables of this package, to be migrated into the schema of every service.
var Schema = schema()
