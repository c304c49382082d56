package connectionfile

import (
	"errors"
	"fmt"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

// ParseRules reads a file that holds the price rules of one connection alone: a list, as below
// price_rules in a declaration.
func ParseRules(name string, content []byte) ([]*pricingv1.PriceRule, error) {
	file, err := parser.ParseBytes(content, 0)
	if err != nil {
		return nil, syntax(name, err)
	}
	if len(file.Docs) != 1 {
		return nil, fmt.Errorf("%s: holds %d documents; price rules are one list", name, len(file.Docs))
	}
	r := &reader{file: name, document: "price rules", anchors: map[string]ast.Node{}}
	rules := &pricingv1.PriceRules{}
	r.list(rules.ProtoReflect(), rules.ProtoReflect().Descriptor().Fields().ByName("rules"), file.Docs[0].Body, "")
	if len(r.errs) > 0 {
		return nil, errors.Join(r.errs...)
	}
	return rules.GetRules(), nil
}
