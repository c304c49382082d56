package estate

import (
	"fmt"
	"strings"
)

// product of Giacom. Prices are per seat per month, ex VAT, in pounds; realistic, not Giacom's.
type product struct {
	name, service string
	sku           string // offer id of Microsoft, Giacom's product id otherwise
	price, rrp    string
	microsoft     bool
	noItem        bool // Halo has no Item for it
}

// key tells products apart also when they have no SKU.
func (p product) key() string { return p.sku + "|" + p.name }

var microsoft = []product{
	ms("Microsoft 365 Business Basic", "LH18:0001", "4.12", "4.90"), ms("Microsoft 365 Business Standard", "LDPB:0001", "8.66", "10.30"),
	ms("Microsoft 365 Business Premium", "LCHC:0002", "15.09", "18.10"), ms("Microsoft 365 Apps for business", "LH1G:0001", "7.22", "8.60"),
	ms("Microsoft 365 E3", "LFLX:0001", "29.10", "35.70"), ms("Microsoft 365 E5", "LFLZ:0002", "44.70", "53.90"), ms("Microsoft 365 F1", "MBSB:0001", "1.86", "2.20"),
	ms("Microsoft 365 F3", "LH05:0001", "6.60", "7.90"), ms("Office 365 E1", "LF8Q:0001", "6.60", "7.90"), ms("Office 365 E3", "LF8R:0001", "18.98", "22.60"),
	ms("Exchange Online (Plan 1)", "LH16:0001", "3.30", "3.90"), ms("Exchange Online (Plan 2)", "LH1P:0001", "6.60", "7.90"),
	ms("Exchange Online Archiving for Exchange Online", "LH0J:0001", "2.47", "2.90"), ms("Exchange Online Kiosk", "LH0L:0001", "1.65", "2.00"),
	ms("Microsoft Teams Phone Standard", "LH0T:0001", "6.60", "8.20"), ms("Microsoft Teams Essentials", "JJ8W:0001", "3.30", "3.90"),
	ms("Microsoft Teams Rooms Pro", "QW7L:0001", "33.00", "39.50"), ms("Microsoft Entra ID P1", "LFLS:0002", "4.95", "6.00"),
	ms("Microsoft Entra ID P2", "LFK5:0001", "7.43", "9.00"), ms("Microsoft Intune Plan 1", "LCH4:0001", "6.60", "8.00"),
	ms("Microsoft Defender for Business", "J6R0:0001", "2.48", "3.00"), ms("Microsoft Defender for Office 365 (Plan 1)", "LH04:0001", "1.65", "2.00"),
	ms("Microsoft 365 Copilot", "MM5R:0001", "24.70", "30.00"), ms("Power BI Pro", "HL8W:0001", "8.25", "10.00"), ms("Power Automate Premium", "LSGZ:0001", "12.40", "15.00"),
	ms("Power Apps Premium", "LH2H:0001", "16.50", "20.00"), ms("Project Plan 1", "HDB1:0001", "8.25", "10.00"), ms("Project Plan 3", "HDB0:0001", "24.75", "30.00"),
	ms("Visio Plan 1", "HD33:0001", "4.13", "5.00"), ms("Visio Plan 2", "HD32:0001", "12.38", "15.00"), ms("SharePoint (Plan 1)", "LH0N:0001", "4.13", "5.00"),
	ms("OneDrive for business (Plan 1)", "LHSV:0001", "4.13", "5.00"), ms("Windows 365 Business 2 vCPU 8 GB 128 GB", "J203:0001", "33.40", "40.50"),
	ms("Dynamics 365 Sales Professional", "LH3H:0001", "53.60", "65.00"), ms("Enterprise Mobility + Security E3", "LHT4:0001", "8.75", "10.60"),
}

func ms(name, code, price, rrp string) product {
	service, _, _ := strings.Cut(name, " Plan")
	if !strings.HasPrefix(name, "Microsoft") {
		service = "Microsoft " + service
	}
	return product{name: name, service: service, sku: "CFQ7TTC0" + code, price: price, rrp: rrp, microsoft: true}
}

var others = []product{
	{name: "Acronis Cyber Protect Cloud - Workstation", service: "Backup", sku: "61-a", price: "2.90", rrp: "4.50"},
	{name: "Acronis Cyber Protect Cloud - Server", service: "Backup", sku: "61-b", price: "14.00", rrp: "22.00"},
	{name: "Exclaimer for Microsoft 365", service: "Signatures", sku: "62-a", price: "0.95", rrp: "1.40"},
	{name: "Bitdefender GravityZone Business Security", service: "Security", sku: "63-a", price: "1.35", rrp: "2.10"},
	{name: "Hosted Exchange Mailbox 25 GB", service: "Messaging", sku: "64-a", price: "3.10", rrp: "5.00"},
	{name: "Mail Archive per user", service: "Messaging", sku: "64-b", price: "1.20", rrp: "2.00"},
	{name: "Dropsuite Backup", service: "Backup", sku: "65-a", price: "1.55", rrp: "2.60"},
	{name: "Cloud Voice Seat", service: "Voice", sku: "66-a", price: "5.80", rrp: "9.50"},
	{name: "Web Hosting Starter", service: "Hosting", sku: "67-a", price: "2.40", rrp: "6.00", noItem: true},
	{name: "Domain renewal .co.uk", service: "Domains", sku: "68-a", price: "0.75", rrp: "1.25", noItem: true},
}

var (
	places = []string{"Harbour", "Ashdown", "Pennine", "Kingsway", "Thornbury", "Cotswold", "Riverside", "Oakfield", "Brackley", "Saltmarsh", "Wharfedale",
		"Highgate", "Lomond", "Severn", "Elmwood", "Castle", "Westbury", "Tamar", "Ribble", "Solent", "Mendip", "Cheviot", "Foxley", "Granary", "Millbrook",
		"Northgate", "Quayside", "Redcliffe", "Stour", "Trentham", "Underhill", "Vale", "Wolds", "Abbey", "Beacon", "Clifton", "Dunmore", "Eastfield", "Fairford", "Glenview"}
	trades = []string{"Dental", "Joinery", "Solicitors", "Accountants", "Veterinary Centre", "Estates", "Engineering", "Logistics", "Care Homes", "Architects",
		"Print", "Brewery", "Nurseries", "Garage", "Opticians", "Recruitment", "Roofing", "Interiors", "Academy Trust", "Foods", "Travel", "Marine", "Insurance Brokers",
		"Surveyors", "Catering", "Plant Hire", "Textiles", "Pharmacy", "Wealth", "Media"}
	endings = []string{" Ltd", " Ltd", " Ltd", " Limited", " LLP", "", " Group", " PLC"}
	people  = []string{"Amara Okafor", "Ben Hughes", "Chloe Price", "Dev Patel", "Eilidh Munro", "Farah Aziz", "Gareth Lewis", "Hannah Shaw", "Imran Malik", "Jo Carter", "Kirsty Bell", "Liam Walsh"}
)

// companyName gives one that no other customer has, nor anything near it.
func (g *grower) companyName() string {
	for try := 0; ; try++ {
		core := places[g.rng.IntN(len(places))] + " " + trades[g.rng.IntN(len(trades))]
		if try > 3 { // large estates run out of plain names
			core = fmt.Sprintf("%s %s %s", core, "of", places[g.rng.IntN(len(places))])
		}
		if try > 12 {
			core = fmt.Sprintf("%s %d", core, len(g.names))
		}
		if !g.names[core] {
			g.names[core] = true
			return core + endings[g.rng.IntN(len(endings))]
		}
	}
}
