package event

import (
	"embed"

	"seatline.dev/pkg/postgres"
)

//go:embed migrations/*.sql
var files embed.FS

// Schema holds the tables of this package, to be migrated into the schema of every service.
var Schema = postgres.Embedded("event", files)
