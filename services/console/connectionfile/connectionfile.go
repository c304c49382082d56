// Package connectionfile reads connections declared in YAML, for people who keep their configuration
// in files:
//
//	slug: acme
//	enabled: true
//	mode: observe
//	giacom:
//	  account: acme
//	  api_key: env:GIACOM_API_KEY
//	  method: both
//	halo:
//	  base_url: https://acme.halopsa.com
//	  client_id: 0f6c…
//	  client_secret: file:/run/secrets/halo
//	price_rules:
//	  - name: Microsoft 365 with 20 percent
//	    names: ["Microsoft 365*"]
//	    cost_plus_percent: 20
//
// A file holds several documents, or a document a list. Fields are named as in the contracts
// seatline.connection.v1.Connection and seatline.pricing.v1.PriceRule; a word of an enum may be
// written short ("auto" for MODE_AUTO), a duration as 90m. What is unknown is an error, never ignored.
// Secrets stand in the file by reference only.
package connectionfile

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"seatline.dev/pkg/telemetry"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

// Declaration is one connection of a file.
type Declaration struct {
	// At says where it stands, "connections.yaml:12".
	At         string
	Connection *connectionv1.Connection
	// GiacomAPIKey and HaloClientSecret are empty where the file does not mention them: what is stored stays.
	GiacomAPIKey     telemetry.Secret
	HaloClientSecret telemetry.Secret
	// PriceRules is nil where the file has no price_rules; an empty list there means no rules.
	PriceRules *pricingv1.PriceRules
}

// Request applies the declaration.
func (d Declaration) Request() *connectionv1.ApplyConnectionRequest {
	return &connectionv1.ApplyConnectionRequest{
		Connection: d.Connection, GiacomApiKey: d.GiacomAPIKey.Reveal(), HaloClientSecret: d.HaloClientSecret.Reveal(),
	}
}

// Parse reads a file. name is for messages only. The error joins everything that is wrong, each with
// the file, the line, the connection and the field; it never holds a secret.
func Parse(name string, content []byte, secrets Secrets) ([]Declaration, error) {
	file, err := parser.ParseBytes(content, 0)
	if err != nil {
		return nil, syntax(name, err)
	}
	r := &reader{file: name, secrets: secrets, anchors: map[string]ast.Node{}, slugs: map[string]string{}}
	var all []Declaration
	for i, document := range file.Docs {
		r.document = fmt.Sprintf("document %d", i+1)
		switch body := r.follow(document.Body).(type) {
		case nil, *ast.NullNode, *ast.CommentGroupNode:
		case *ast.SequenceNode:
			for j, entry := range body.Values {
				r.document = fmt.Sprintf("document %d, entry %d", i+1, j+1)
				all = append(all, r.declaration(entry))
			}
		default:
			all = append(all, r.declaration(body))
		}
	}
	if len(all) == 0 && len(r.errs) == 0 {
		return nil, fmt.Errorf("%s: declares no connection", name)
	}
	if len(r.errs) > 0 {
		return nil, errors.Join(r.errs...)
	}
	return all, nil
}

// syntax is an error of the parser with its place, and without the excerpt of the file that it shows
// by default, in which a secret may stand.
func syntax(name string, err error) error {
	var e interface {
		GetMessage() string
		GetToken() *token.Token
	}
	if !errors.As(err, &e) || e.GetToken() == nil || e.GetToken().Position == nil {
		return fmt.Errorf("%s: is not YAML", name)
	}
	return fmt.Errorf("%s:%d: is not YAML: %s", name, e.GetToken().Position.Line, e.GetMessage())
}

// reader reads one file and collects what is wrong in it.
type reader struct {
	file    string
	secrets Secrets
	// document at hand, for messages.
	document string
	anchors  map[string]ast.Node
	slugs    map[string]string // where each was declared
	errs     []error
}

func (r *reader) at(n ast.Node) string {
	if n != nil && n.GetToken() != nil && n.GetToken().Position != nil {
		return fmt.Sprintf("%s:%d", r.file, n.GetToken().Position.Line)
	}
	return r.file
}

func (r *reader) fail(n ast.Node, field, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	if field != "" {
		what = field + ": " + what
	}
	r.errs = append(r.errs, fmt.Errorf("%s: %s: %s", r.at(n), r.document, what))
}

func (r *reader) declaration(n ast.Node) Declaration {
	d := Declaration{At: r.at(n), Connection: &connectionv1.Connection{}}
	pairs, ok := r.mapping(n, "")
	if !ok {
		return d
	}
	var rest []pair
	for _, p := range pairs {
		if p.key == "slug" {
			if s, ok := text(r.follow(p.value)); ok && s != "" {
				r.document += " (connection " + s + ")"
			}
		}
	}
	for _, p := range pairs {
		switch p.key {
		case "giacom":
			p.value = r.takeSecret(p.value, &d.GiacomAPIKey, "giacom", "api_key", "apiKey")
		case "halo":
			p.value = r.takeSecret(p.value, &d.HaloClientSecret, "halo", "client_secret", "clientSecret")
		case "price_rules", "priceRules":
			d.PriceRules = &pricingv1.PriceRules{}
			field := d.PriceRules.ProtoReflect().Descriptor().Fields().ByName("rules")
			r.list(d.PriceRules.ProtoReflect(), field, p.value, p.key)
			continue
		}
		rest = append(rest, p)
	}
	r.fields(d.Connection.ProtoReflect(), rest, "", "price_rules")
	slug := d.Connection.GetSlug()
	if d.PriceRules != nil {
		d.PriceRules.Connection = slug
	}
	if slug == "" {
		r.fail(n, "slug", "is missing: the name of the connection, 1 to 40 of the characters a-z, 0-9 and -")
	} else if before, twice := r.slugs[slug]; twice {
		r.fail(n, "slug", "%q is declared at %s already", slug, before)
	} else {
		r.slugs[slug] = d.At
	}
	return d
}

// takeSecret resolves the reference that stands among the settings of section, and returns the
// settings without it. What `connections get` prints there, a version, leaves the secret as it is.
func (r *reader) takeSecret(section ast.Node, into *telemetry.Secret, name string, keys ...string) ast.Node {
	m, ok := r.follow(section).(*ast.MappingNode)
	if !ok {
		return section
	}
	rest := *m
	rest.Values = nil
	for _, v := range m.Values {
		key, _ := text(v.Key)
		if key != keys[0] && key != keys[1] {
			rest.Values = append(rest.Values, v)
			continue
		}
		path := name + "." + key
		switch value := r.follow(v.Value).(type) {
		case *ast.MappingNode:
			rest.Values = append(rest.Values, v)
		case *ast.NullNode:
			r.fail(v, path, "is empty; leave it out to keep the secret that is stored")
		default:
			reference, _ := text(value)
			secret, err := r.secrets.Resolve(reference)
			if err != nil {
				r.fail(v, path, "%v", err)
				continue
			}
			*into = secret
		}
	}
	return &rest
}

// text is what a scalar says, as it is written.
func text(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return strings.TrimRight(n.Value.Value, "\n"), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}
