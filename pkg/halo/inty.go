package halo

// Inty is what /Control says of Halo's own Inty integration [S].
type Inty struct {
	IntegratorOn bool
	URL          string
	UserName     string
	Mappings     []ExternalLink
	LastSync     Date
	LastError    string
}

// Inty reads the settings of Halo's Inty integration. What /Control does not send counts as empty.
func (o Control) Inty() Inty {
	x := Inty{
		IntegratorOn: o.Bool("halointegrator_inty"), URL: o.Text("inty_url"), UserName: o.Text("inty_username"),
		LastSync: o.Date("halointegrator_inty_lastsync"), LastError: o.Text("halointegrator_inty_lasterror"),
	}
	o.read("inty_client_mappings", &x.Mappings)
	return x
}
